"""Each loss against a value worked out by hand or by a loop."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fastvit_dense.hand.losses import (
    DEFAULT_WEIGHTS,
    HandMeshLoss,
    edge_loss,
    normal_loss,
    points_loss,
    rotation_loss,
    shape_loss,
)
from tests.facts import raises_naming

FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
SQUARE = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]])


def test_rotation_loss_is_a_function_of_the_angle():
    for angle in (0.1, 1.0, 3.0):
        turn = Rotation.from_rotvec([0, angle * 0.6, angle * 0.8]).as_matrix()
        start = Rotation.random(rng=0).as_matrix()
        loss = rotation_loss(torch.tensor(turn @ start), torch.tensor(start))
        assert float(loss) == pytest.approx(8 / 9 * math.sin(angle / 2) ** 2)


def test_points_and_shape():
    assert float(points_loss(torch.tensor([1.0, -2.0]), torch.zeros(2))) == 1.5
    assert float(shape_loss(torch.tensor([[1.0, -2.0]]), torch.zeros(1, 2))) == 2.5


def test_edge_loss_on_a_stretched_square():
    stretched = SQUARE * torch.tensor([2.0, 1, 1])
    sides = lambda w: [w, 1, math.hypot(w, 1), math.hypot(w, 1), w, 1]  # two triangles
    expected = np.mean(np.abs(np.subtract(sides(2), sides(1))))
    assert float(edge_loss(stretched, SQUARE, FACES)) == pytest.approx(expected)
    assert float(edge_loss(SQUARE + 3, SQUARE, FACES)) == pytest.approx(0, abs=1e-6)


def test_normal_loss_sees_tilting_only():
    angle = 0.3
    turn = torch.tensor(Rotation.from_rotvec([angle, 0, 0]).as_matrix(), dtype=torch.float32)
    tilted = SQUARE @ turn.T
    diagonal = math.sin(angle) / math.sqrt(2)
    expected = np.mean([0, math.sin(angle), diagonal, diagonal, 0, math.sin(angle)])
    assert float(normal_loss(tilted, SQUARE, FACES)) == pytest.approx(expected, abs=1e-6)
    assert float(normal_loss(SQUARE * 2, SQUARE, FACES)) == pytest.approx(0, abs=1e-7)


def hand(batch=2, seed=0):
    generator = torch.manual_seed(seed)
    random = lambda *shape: torch.randn(batch, *shape, generator=generator)
    turns = Rotation.random(batch, rng=seed).as_matrix()
    return {
        'vertices': random(778, 3), 'joints': random(21, 3), 'image_joints': random(21, 2),
        'global_orient': torch.tensor(turns, dtype=torch.float32), 'hand_pose': random(15, 3, 3),
        'betas': random(10),
    }  # fmt: skip


NO_FACES = torch.zeros(1, 3, dtype=torch.long)


def test_hand_frame_against_a_loop():
    pred, target = hand(), hand(seed=1)
    losses = HandMeshLoss({'vertices': 3.0, 'edges': 1.0, 'betas': 0.0})(pred, target, NO_FACES)
    assert set(losses) == {
        'loss_vertices', 'loss_joints', 'loss_orientation', 'loss_reprojection', 'loss_rotation',
        'loss_edges',
    }  # fmt: skip
    in_hand, in_camera = [], []
    for i in range(2):
        local = []
        for one in (pred, target):
            turn = one['global_orient'][i].double().numpy()
            root = one['joints'][i, 9].double().numpy()
            local.append([turn.T @ (v - root) for v in one['vertices'][i].double().numpy()])
        in_hand.append(np.abs(np.subtract(*local)))
        joints = [one['joints'][i].double().numpy() for one in (pred, target)]
        in_camera.append(np.abs((joints[0] - joints[0][9]) - (joints[1] - joints[1][9])))
    assert float(losses['loss_vertices']) == pytest.approx(3 * np.mean(in_hand), rel=1e-5)
    assert float(losses['loss_orientation']) == pytest.approx(10 * np.mean(in_camera), rel=1e-5)


def test_orientation_trains_the_global_rotation_alone():
    """A hand that is right but for its direction: fingers get no gradient in camera space."""
    target = hand()
    turn = torch.tensor(Rotation.from_rotvec([0.3, 0.2, -0.5]).as_matrix(), dtype=torch.float32)
    local = (target['vertices'] @ target['global_orient']).requires_grad_()
    local_joints = (target['joints'] @ target['global_orient']).requires_grad_()
    orient = (turn @ target['global_orient']).requires_grad_()
    pred = {**target, 'vertices': local @ orient.mT, 'joints': local_joints @ orient.mT,
            'global_orient': orient}  # fmt: skip
    losses = HandMeshLoss()(pred, target, NO_FACES)
    assert losses['loss_vertices'].item() == pytest.approx(0, abs=1e-4)
    assert losses['loss_joints'].item() == pytest.approx(0, abs=1e-4)
    gradients = torch.autograd.grad(
        losses['loss_orientation'], (local_joints, orient), allow_unused=True
    )
    assert gradients[1].abs().max() > 0.1
    assert gradients[0] is None or gradients[0].abs().max() < 1e-6


def test_without_true_rotations_points_are_compared_in_camera_space():
    pred, target = hand(), hand(seed=1)
    for name in ('global_orient', 'hand_pose', 'betas'):
        del target[name]
    criterion = HandMeshLoss()
    losses = criterion(pred, target, NO_FACES)
    assert set(losses) == {'loss_vertices', 'loss_joints', 'loss_reprojection'}
    expected = 10 * torch.mean(
        torch.abs(
            (pred['vertices'] - pred['joints'][:, 9:10])
            - (target['vertices'] - target['joints'][:, 9:10])
        )
    )
    torch.testing.assert_close(losses['loss_vertices'], expected)
    moved = {**pred, 'vertices': pred['vertices'] + 5, 'joints': pred['joints'] + 5}
    again = criterion(moved, target, NO_FACES)
    torch.testing.assert_close(again['loss_joints'], losses['loss_joints'])


def test_keypoints_outside_the_image_are_wanted_at_its_edge():
    pred, target = hand(), hand(seed=1)
    target['image_joints'] = torch.full((2, 21, 2), 1.4)
    pred['keypoints'] = torch.ones(2, 21, 2)
    losses = HandMeshLoss()(pred, target, NO_FACES)
    assert float(losses['loss_keypoints']) == 0


def test_unknown_weight_is_named():
    with raises_naming(ValueError, 'loss_weights', *DEFAULT_WEIGHTS, 'found', 'verts'):
        HandMeshLoss({'verts': 1.0})
