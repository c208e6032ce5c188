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
    return {
        'vertices': random(778, 3), 'joints': random(21, 3), 'image_joints': random(21, 2),
        'global_orient': random(3, 3), 'hand_pose': random(15, 3, 3), 'betas': random(10),
    }  # fmt: skip


def test_sum_is_weighted_relative_to_the_root_and_optional():
    pred, target = hand(), hand(seed=1)
    faces = torch.randint(0, 778, (1538, 3), generator=torch.manual_seed(0))
    criterion = HandMeshLoss({'vertices': 3.0, 'edges': 1.0, 'betas': 0.0})
    losses = criterion(pred, target, faces)
    assert set(losses) == {
        'loss_vertices', 'loss_joints', 'loss_reprojection', 'loss_rotation', 'loss_edges'
    }  # fmt: skip
    expected = (
        3
        * torch.abs(
            (pred['vertices'] - pred['joints'][:, 9:10])
            - (target['vertices'] - target['joints'][:, 9:10])
        ).mean()
    )
    assert float(losses['loss_vertices']) == pytest.approx(float(expected), rel=1e-5)
    moved = {**pred, 'vertices': pred['vertices'] + 5, 'joints': pred['joints'] + 5}
    again = criterion(moved, target, faces)
    torch.testing.assert_close(again['loss_joints'], losses['loss_joints'])

    for name in ('global_orient', 'hand_pose', 'betas'):
        del target[name]
    assert 'loss_rotation' not in HandMeshLoss()(pred, target, faces)
    assert set(DEFAULT_WEIGHTS) >= {'keypoints', 'normals'}


def test_keypoints_outside_the_image_are_wanted_at_its_edge():
    pred, target = hand(), hand(seed=1)
    target['image_joints'] = torch.full((2, 21, 2), 1.4)
    pred['keypoints'] = torch.ones(2, 21, 2)
    losses = HandMeshLoss()(pred, target, torch.zeros(1, 3, dtype=torch.long))
    assert float(losses['loss_keypoints']) == 0


def test_unknown_weight_is_named():
    with pytest.raises(ValueError, match=r'loss_weights: expected any of vertices.*, found verts'):
        HandMeshLoss({'verts': 1.0})
