"""What the mean pose scores, against a plain loop with SciPy."""

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from fastvit_dense.evaluation.mean_pose import mean_pose_errors
from fastvit_dense.hand import Mano
from fastvit_dense.hand.standin import standin_mano


def aligned_distance(truth, points):
    truth, points = truth - truth.mean(0), points - points.mean(0)
    norms = np.linalg.norm(truth), np.linalg.norm(points)
    rotation, scale = orthogonal_procrustes(truth / norms[0], points / norms[1])
    moved = points / norms[1] @ rotation.T * scale * norms[0]
    return np.linalg.norm(truth - moved, axis=1).mean()


def test_errors_of_hands_that_move():
    mano = Mano(standin_mano(0))
    turns = Rotation.random(5, rng=0).as_matrix()
    bends = Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.3, (75, 3))).as_matrix()
    pose = mano.mean_pose @ torch.tensor(bends, dtype=torch.float32).view(5, 15, 3, 3)
    hands = mano(torch.tensor(turns, dtype=torch.float32), pose, torch.full((5, 10), 0.3))
    joints, vertices = hands.joints.numpy() + 0.7, hands.vertices.numpy() + 0.7
    mean = mano(torch.eye(3)[None], mano.mean_pose[None], torch.zeros(1, 10))
    errors = mean_pose_errors(joints, vertices, mano)
    for name, truth, points in (
        ('PA-MPJPE', joints, mean.joints[0]),
        ('PA-MPVPE', vertices, mean.vertices[0]),
    ):
        expected = [
            1000 * aligned_distance(t.astype(float), points.double().numpy()) for t in truth
        ]
        assert errors[name] == pytest.approx(np.mean(expected), rel=1e-5)
        assert errors[name] > 1


def test_the_mean_pose_itself_has_no_error():
    mano = Mano(standin_mano(0))
    mean = mano(torch.eye(3)[None], mano.mean_pose[None], torch.zeros(1, 10))
    errors = mean_pose_errors(2 * mean.joints.numpy(), 2 * mean.vertices.numpy(), mano)
    assert errors == pytest.approx({'PA-MPJPE': 0, 'PA-MPVPE': 0}, abs=1e-4)
