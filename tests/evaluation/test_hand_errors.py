"""Parts of a hand's error: each of them alone, from the hand model, and their sum."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fastvit_dense.evaluation import HandMetric
from fastvit_dense.evaluation.hand_errors import (
    PARENTS,
    PARTS,
    VERTEX_PARTS,
    error_parts,
    vertex_parts,
)
from fastvit_dense.hand.mano import Mano
from fastvit_dense.hand.standin import standin_mano
from tests.evaluation.test_hand import data_samples


def rotations(shape, size, seed):
    """Random rotations of about `size` radians."""
    vectors = np.random.default_rng(seed).normal(0, size, (*shape, 3))
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    return torch.from_numpy(matrices.reshape(*shape, 3, 3)).float()


TURN, POSE = rotations((6,), 1, 0), rotations((6, 15), 0.2, 1)


def joints(turn=TURN, pose=POSE):
    """Joints (6, 21, 3) of six hands of the stand-in, metres."""
    mano = Mano(standin_mano())
    with torch.no_grad():
        found = mano(turn, pose, torch.zeros(6, 10), torch.tensor([[0, 0, 0.7]]).expand(6, 3))
    return found.joints.double().numpy()


def shares(truth, predicted):
    parts = error_parts(truth, predicted)
    error = np.linalg.norm(truth - predicted, axis=2).mean(axis=1)
    assert parts.sum(axis=1) == pytest.approx(error, abs=1e-12)
    return dict(zip(PARTS, parts.mean(axis=0) / error.mean(), strict=True))


def only(part):
    return {name: pytest.approx(float(name == part), abs=2e-5) for name in PARTS}


def test_each_error_alone():
    truth = joints()
    wrist = truth[:, :1]
    assert shares(truth, truth + np.array([0.01, -0.02, 0.03])) == only('place')
    more = rotations((6,), 0.3, 2).double().numpy()
    assert shares(truth, (truth - wrist) @ more + wrist) == only('rotation')
    assert shares(truth, 1.15 * (truth - wrist) + wrist) == only('scale')
    bent, knuckle = truth.copy(), truth[:, 5:6]  # the index finger, about its knuckle
    bent[:, 6:9] = (truth[:, 6:9] - knuckle) @ more + knuckle
    assert shares(truth, bent) == only('articulation')
    longer, shorter = truth.copy(), [3, 4]  # a bone longer, another as much shorter: no scale
    for joint, sign in zip(shorter, (1, -1), strict=True):
        bone = truth[:, joint] - truth[:, PARENTS[joint]]
        bone *= sign * 0.005 / np.linalg.norm(bone, axis=1, keepdims=True)
        for moved in (joint, 4) if joint == 3 else (4,):
            longer[:, moved] += bone
    assert shares(truth, longer) == only('shape')


def test_a_bent_hand_of_the_model_is_bent():
    """Almost: its wrist and knuckles lie in a skin that the fingers pull at."""
    assert shares(joints(), joints(pose=rotations((6, 15), 0.2, 3)))['articulation'] > 0.9


def test_a_turned_hand_of_the_model_is_turned():
    truth = joints()
    turned = joints(turn=rotations((6,), 0.3, 4) @ TURN)
    turned += (truth - turned)[:, :1]
    assert shares(truth, turned) == only('rotation')


def test_vertices_are_moved_as_their_joints_tell():
    mano = Mano(standin_mano())
    with torch.no_grad():
        hand = mano(TURN, POSE, torch.zeros(6, 10), torch.tensor([[0, 0, 0.7]]).expand(6, 3))
    truth, mesh = hand.joints.double().numpy(), hand.vertices.double().numpy()
    wrist = truth[:, :1]
    more = rotations((6,), 0.3, 2).double().numpy()
    for part, move in (
        ('place', lambda points: points + np.array([0.01, -0.02, 0.03])),
        ('rotation', lambda points: (points - wrist) @ more + wrist),
        ('scale', lambda points: 1.15 * (points - wrist) + wrist),
    ):
        parts = vertex_parts(truth, move(truth), mesh, move(mesh))
        error = np.linalg.norm(move(mesh) - mesh, axis=2).mean(axis=1)
        expected = [error * (name == part) for name in VERTEX_PARTS]
        assert parts == pytest.approx(np.array(expected).T, abs=1e-7)
    rest = vertex_parts(
        truth, truth, mesh, mesh + np.random.default_rng(0).normal(0, 1, mesh.shape)
    )
    assert rest[:, :3] == pytest.approx(0, abs=1e-9)


def test_parts_sum_to_the_error_of_hands_that_are_wrong_in_all():
    random = np.random.default_rng(0)
    truth = joints()
    predicted = truth + random.normal(0, 0.01, truth.shape) + np.array([0.02, 0, 0.05])
    found = shares(truth, predicted)
    assert found['place'] > 0.3
    assert shares(truth, np.zeros_like(truth))  # no hand at all: finite


@pytest.mark.filterwarnings('ignore:1 of 20 hands are aligned by a reflection')
def test_the_metric_tells_parts_and_outliers():
    random = np.random.default_rng(0)
    truth = np.repeat(joints()[:1].astype(np.float32), 20, axis=0)
    predicted = truth + random.normal(0, 0.003, truth.shape).astype(np.float32)
    predicted[7] += random.normal(0, 0.03, truth.shape[1:]).astype(np.float32)
    metric = HandMetric()
    samples = data_samples(truth, truth, predicted, predicted)
    metric.diagnose = True
    metric.process({}, samples)
    metric.evaluate(20)
    parts, of_vertices = metric.result.diagnosis['breakdowns']
    total = sum(part['value'] for part in of_vertices['parts'])
    assert total == pytest.approx(10 * metric.result.metrics['mesh_mean3d'], abs=1e-6)
    total = sum(part['value'] for part in parts['parts'])
    assert total == pytest.approx(10 * metric.result.metrics['xyz_mean3d'], abs=1e-6)
    assert [part['name'] for part in parts['parts']] == list(PARTS)
    (doubt,) = metric.result.diagnosis['doubts']
    assert doubt['image'] == 7
