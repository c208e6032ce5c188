"""Pose conversions against SciPy, round trips, and the conventions by name."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fastvit_dense.hand import Mano, standin_mano
from fastvit_dense.hand.rotations import (
    FORMS,
    convert_pose,
    mirror_rotations,
    pose_from_matrix,
    pose_to_matrix,
    rotation_6d_to_matrix,
)
from tests.facts import raises_naming

MODEL = standin_mano()


def random_rotations(seed, spread=0.8):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, spread, (2, 15, 3))
    return vectors, Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(2, 15, 3, 3)


@pytest.mark.parametrize('form', FORMS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), spread=st.floats(1e-6, 1.5))
def test_round_trip_through_every_form(form, seed, spread):
    matrices = torch.tensor(random_rotations(seed, spread)[1])
    pose = pose_from_matrix(matrices, form, MODEL)
    back = pose_to_matrix(pose, form, MODEL)
    torch.testing.assert_close(back, matrices, rtol=0, atol=2e-6)


@pytest.mark.parametrize('source', FORMS)
@pytest.mark.parametrize('target', FORMS)
def test_every_pair_of_forms(source, target):
    matrices = torch.tensor(random_rotations(1, 0.5)[1])
    start = pose_from_matrix(matrices, source, MODEL)
    expected = pose_from_matrix(matrices, target, MODEL)
    torch.testing.assert_close(
        convert_pose(start, source, target, MODEL), expected, atol=1e-6, rtol=0
    )


def test_forms_against_scipy():
    vectors, matrices = random_rotations(0)
    rotations = torch.tensor(matrices)
    flat = torch.tensor(vectors.reshape(2, 45))
    np.testing.assert_allclose(pose_to_matrix(flat, 'axis_angle'), matrices, atol=1e-12)
    mean = MODEL.hands_mean
    offsets = torch.tensor(vectors.reshape(2, 45) - mean)
    np.testing.assert_allclose(pose_to_matrix(offsets, 'freihand', MODEL), matrices, atol=1e-12)
    quaternion = pose_from_matrix(rotations, 'quaternion').numpy().reshape(-1, 4)
    scipys = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat()[:, [3, 0, 1, 2]]
    scipys *= np.sign(scipys[:, :1])
    np.testing.assert_allclose(quaternion * np.sign(quaternion[:, :1]), scipys, atol=1e-7)
    rows = matrices[..., :2, :].reshape(2, 15, 6)
    columns = np.concatenate([matrices[..., 0], matrices[..., 1]], axis=-1)
    np.testing.assert_array_equal(pose_from_matrix(rotations, '6d'), rows)
    np.testing.assert_array_equal(pose_from_matrix(rotations, '6d_columns'), columns)


def test_unnormalised_quaternions_and_6d_are_rotations_all_the_same():
    matrices = torch.tensor(random_rotations(3)[1])
    quaternion = pose_from_matrix(matrices, 'quaternion') * 3
    torch.testing.assert_close(
        pose_to_matrix(quaternion, 'quaternion'), matrices, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        pose_to_matrix(pose_from_matrix(matrices, '6d') * 0.2, '6d'), matrices, atol=1e-6, rtol=0
    )


def test_pca_with_few_components_is_around_the_hand_mean():
    coefficients = torch.zeros(1, 6, dtype=torch.float64)
    coefficients[0, 2] = 0.7
    expected = MODEL.hands_mean + 0.7 * MODEL.hands_components[2]
    expected = Rotation.from_rotvec(expected.reshape(15, 3)).as_matrix()
    found = pose_to_matrix(coefficients, 'pca', MODEL)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_zero_offsets_are_the_mean_pose_and_zero_axis_angle_is_not():
    mean = Rotation.from_rotvec(MODEL.hands_mean.reshape(15, 3)).as_matrix()
    zero = torch.zeros(45, dtype=torch.float64)
    np.testing.assert_allclose(pose_to_matrix(zero, 'freihand', MODEL), mean, atol=1e-12)
    np.testing.assert_allclose(Mano(MODEL).mean_pose, mean, atol=1e-6)
    mirrored = mirror_rotations(torch.tensor(mean, dtype=torch.float32))
    torch.testing.assert_close(Mano(MODEL, side='left').mean_pose, mirrored)
    np.testing.assert_array_equal(
        pose_to_matrix(torch.zeros(45), 'axis_angle'), np.tile(np.eye(3), (15, 1, 1))
    )


def test_plain_6d_equals_pytorch3d():
    from pytorch3d.transforms import rotation_6d_to_matrix as expected

    values = torch.randn(50, 6, dtype=torch.float64, generator=torch.manual_seed(0))
    torch.testing.assert_close(rotation_6d_to_matrix(values), expected(values), rtol=0, atol=1e-12)


def degenerate(row):
    """Rows (N, 3) with second rows that say nothing beside them, and with zeros first."""
    seconds = [scale * row for scale in (0, 1, -2, 1e-8, 1e6)] + [row + 1e-7 * row.flip(1)]
    return torch.cat([torch.cat([row, other], 1) for other in seconds] + [
        torch.cat([torch.zeros_like(row), row], 1), torch.zeros(1, 6)
    ])  # fmt: skip


@pytest.mark.parametrize('function', [
    rotation_6d_to_matrix,
    lambda rows: pose_to_matrix(rows[:, None].expand(-1, 15, 6), '6d')[:, 0],
    lambda rows: pose_to_matrix(rows[:, None].expand(-1, 15, 6), '6d_columns')[:, 0],
])  # fmt: skip
def test_degenerate_6d_gives_rotations_and_gradients(function):
    row = torch.randn(50, 3, generator=torch.manual_seed(0))
    numbers = degenerate(torch.cat([row, torch.eye(3), -torch.eye(3)])).requires_grad_()
    rotations = function(numbers)
    identity = torch.eye(3).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, identity, rtol=0, atol=2e-6)
    torch.testing.assert_close(
        torch.linalg.det(rotations), torch.ones(len(rotations)), rtol=0, atol=2e-6
    )
    (rotations * torch.randn(3, 3)).sum().backward()
    assert torch.isfinite(numbers.grad).all()


def test_mirrored_rotations_negate_y_and_z_of_the_axis():
    vectors, matrices = random_rotations(2)
    mirrored = mirror_rotations(torch.tensor(matrices))
    expected = Rotation.from_rotvec((vectors * [1, -1, -1]).reshape(-1, 3)).as_matrix()
    np.testing.assert_allclose(mirrored.reshape(-1, 3, 3), expected, atol=1e-12)


def test_bad_input_is_named():
    with raises_naming(ValueError, 'form', *FORMS, 'found', 'aa'):
        pose_to_matrix(torch.zeros(45), 'aa')
    with raises_naming(ValueError, 'freihand', 'hand mean', 'ManoModel'):
        pose_to_matrix(torch.zeros(45), 'freihand')
    with raises_naming(ValueError, 'axis_angle', (45,), 'found', (2, 48)):
        pose_to_matrix(torch.zeros(2, 48), 'axis_angle')
    with raises_naming(ValueError, 'pca', (45,), 'found', (2, 46)):
        pose_to_matrix(torch.zeros(2, 46), 'pca', MODEL)
    with raises_naming(ValueError, 'rotations', (15, 3, 3), 'found', (16, 3, 3)):
        pose_from_matrix(torch.zeros(16, 3, 3), '6d')
