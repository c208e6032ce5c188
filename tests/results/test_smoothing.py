"""Hands of a video: jitter goes, motion stays, rotations are rotations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fastvit_dense.results.hand import HandResult
from fastvit_dense.results.smoothing import HandSmoother

RATE = 30.0


def hand(shift, turn=None):
    generator = np.random.default_rng(0)
    joints, vertices = generator.normal(0, 0.05, (21, 3)), generator.normal(0, 0.05, (778, 3))
    pose = Rotation.random(15, random_state=1).as_matrix()
    orient = (turn or Rotation.identity()).as_matrix()
    return HandResult(
        joints=(joints + shift).astype(np.float32),
        vertices=(vertices + shift).astype(np.float32),
        faces=np.zeros((1538, 3), np.int64),
        global_orient=orient,
        hand_pose=pose,
        betas=np.zeros(10),
        K=np.eye(3),
        hand_model='none',
    )


def smoothed(hands):
    smoother = HandSmoother()
    return [smoother(one, number / RATE) for number, one in enumerate(hands)]


def test_a_hand_at_rest_is_steady():
    noise = np.random.default_rng(3).normal(0, 0.001, (200, 3))
    found = np.array([one.joints.mean(0) for one in smoothed([hand(shift) for shift in noise])])
    given = np.array([hand(shift).joints.mean(0) for shift in noise])
    assert found[50:].std(0).max() < 0.5 * given[50:].std(0).min()


def test_a_hand_that_moves_lags_little():
    """0.6 m/s, fast for a hand: behind by less than two frames."""
    shifts = [(number * 0.02, 0, 0) for number in range(60)]
    found = smoothed([hand(shift) for shift in shifts])
    behind = hand(shifts[-1]).joints - found[-1].joints
    assert 0 <= behind[:, 0].mean() < 0.04
    np.testing.assert_allclose(
        found[-1].vertices.mean(0) - found[-1].joints.mean(0),
        hand(0).vertices.mean(0) - hand(0).joints.mean(0),
        atol=1e-6,
    )


def test_rotations_stay_rotations():
    turns = [Rotation.from_rotvec([0, 0, number * 0.3]) for number in range(20)]
    for one in smoothed([hand(np.zeros(3), turn) for turn in turns]):
        for matrix in (one.global_orient, *one.hand_pose):
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-5)
            assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-5)


def test_a_constant_hand_stays():
    found = smoothed([hand(np.ones(3))] * 5)[-1]
    np.testing.assert_allclose(found.joints, hand(np.ones(3)).joints, atol=1e-6)
