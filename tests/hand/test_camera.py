"""The metric camera against pinhole projection written out, and FreiHAND's own placing formula."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvit_dense.hand.camera import (
    assumed_camera,
    camera_problem,
    project,
    root_position,
    size_ratio,
    to_unit,
    weak_perspective,
    weak_project,
)
from tests.facts import assert_names

WIDTH = 224


def camera_matrix(fx, fy, cx, cy, skew=0.0):
    return torch.tensor([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)[None]


cameras = st.builds(
    camera_matrix,
    st.floats(200, 900),
    st.floats(200, 900),
    st.floats(60, 160),
    st.floats(60, 160),
    st.floats(-5, 5),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(K=cameras, x=st.floats(-0.2, 0.2), y=st.floats(-0.2, 0.2), z=st.floats(0.2, 2))
def test_place_and_camera_are_inverse(K, x, y, z):
    root = torch.tensor([[x, y, z]], dtype=torch.float64)
    camera = weak_perspective(root, K, WIDTH)
    torch.testing.assert_close(root_position(camera, K, WIDTH), root, rtol=1e-9, atol=1e-12)


def test_projection_is_the_pinhole_written_out():
    K = camera_matrix(480, 470, 110, 115, 2.0)
    point = (0.03, -0.05, 0.6)
    u = (480 * point[0] + 2.0 * point[1]) / point[2] + 110
    v = 470 * point[1] / point[2] + 115
    found = project(torch.tensor([[point]], dtype=torch.float64), K)[0, 0]
    np.testing.assert_allclose(found, [u, v])
    np.testing.assert_allclose(to_unit(torch.tensor([0.0, 112, 224]), 224), [-1, 0, 1])


def test_equals_freihands_placing():
    """xyz_root = [(uv_root - pp), focal] / scale, for their cameras (fx = fy, no skew)."""
    focal, principal = 480.0, np.array([112.0, 108.0])
    uv_root, scale = np.array([130.0, 90.0]), 650.0  # pixels, pixels per metre
    expected = np.append(uv_root - principal, focal) / scale
    K = camera_matrix(focal, focal, *principal)
    camera = torch.tensor([[scale / (WIDTH / 2), *(uv_root / (WIDTH / 2) - 1)]])
    np.testing.assert_allclose(root_position(camera, K, WIDTH)[0], expected, atol=1e-12)


def test_zooming_the_crop_moves_no_hand():
    K = camera_matrix(480, 480, 112, 112)
    root = torch.tensor([[0.05, -0.02, 0.7]], dtype=torch.float64)
    zoom = torch.diag(torch.tensor([1.7, 1.7, 1.0], dtype=torch.float64)) @ K
    for matrix in (K, zoom):
        camera = weak_perspective(root, matrix, WIDTH)
        torch.testing.assert_close(root_position(camera, matrix, WIDTH), root)
    assert weak_perspective(root, zoom, WIDTH)[0, 0] == pytest.approx(
        1.7 * float(weak_perspective(root, K, WIDTH)[0, 0])
    )


def test_weak_projection_agrees_with_perspective_for_flat_hands():
    K = camera_matrix(480, 480, 100, 120)
    root = torch.tensor([[0.05, -0.02, 0.7]], dtype=torch.float64)
    flat = torch.randn(1, 30, 3, dtype=torch.float64, generator=torch.manual_seed(0)) * 0.08
    flat[..., 2] = 0
    weak = weak_project(flat, weak_perspective(root, K, WIDTH))
    exact = to_unit(project(flat + root[:, None], K), WIDTH)
    torch.testing.assert_close(weak, exact)


def test_known_bone_length_fixes_size_and_depth():
    joints = torch.randn(3, 21, 3, generator=torch.manual_seed(0)) * 0.05 + torch.tensor(
        [0, 0, 0.7]
    )
    K = assumed_camera(WIDTH)[None].expand(3, 3, 3)
    truth = torch.tensor([0.02, 0.03, 0.05])
    scaled = joints * size_ratio(joints, truth)[:, None, None]
    torch.testing.assert_close((scaled[:, 9] - scaled[:, 10]).norm(dim=1), truth)
    torch.testing.assert_close(project(scaled, K), project(joints, K), rtol=1e-4, atol=1e-2)


def test_points_behind_the_camera_stay_finite():
    K = assumed_camera(WIDTH)[None]
    points = torch.tensor([[[0.1, 0.1, -1.0], [0.0, 0, 0]]], requires_grad=True)
    project(points, K).sum().backward()
    assert torch.isfinite(points.grad).all()


def test_a_matrix_that_no_camera_has_is_told():
    K = assumed_camera(WIDTH).numpy()
    assert camera_problem(K) is None
    assert_names(camera_problem(K * 2), 'last row 0 0 1', 'found', [0.0, 0.0, 2.0])
    assert_names(camera_problem(K * [[1], [0], [1]]), 'invertible', 'found', 'singular')
