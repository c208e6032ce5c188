"""The stand-in hand: MANO's shapes, and the anatomy of a right hand."""

import numpy as np
import pytest
import torch

from fastvit_dense.hand import Mano, standin_mano
from fastvit_dense.hand.mano import ARRAY_SHAPES, FINGERTIP_VERTICES, PARENTS
from fastvit_dense.hand.rotations import pose_to_matrix
from fastvit_dense.hand.standin import bend_axes


@pytest.fixture(scope='module')
def model():
    return standin_mano()


def half_edges(faces):
    a, b, c = faces.astype(int).T
    return np.concatenate([np.c_[a, b], np.c_[b, c], np.c_[c, a]])


def test_has_manos_shapes_and_types(model):
    for name, shape in ARRAY_SHAPES.items():
        array = getattr(model, name)
        assert array.shape == tuple(s or 1554 for s in shape), name
        expected = {'f': np.uint32, 'kintree_table': np.int64}.get(name, np.float64)
        assert array.dtype == expected, name
    assert tuple(model.kintree_table[0]) == PARENTS
    assert model.is_standin
    assert model.name == 'stand-in hand, not MANO'


def test_surface_is_a_disk_with_a_wrist_loop_of_16(model):
    edges = half_edges(model.f)
    assert len(np.unique(edges, axis=0)) == len(edges)  # consistent orientation, no edge thrice
    undirected, counts = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    assert 778 - len(undirected) + 1538 == 1
    border = undirected[counts == 1]
    assert len(border) == 16
    assert len(np.unique(border)) == 16
    follow = {a: b for a, b in edges if tuple(sorted((a, b))) in set(map(tuple, border))}
    start = current = border[0, 0]
    for step in range(16):
        current = follow[current]
        assert (current == start) == (step == 15)  # one loop
    assert len(np.unique(model.f)) == 778
    # the loop lies at the wrist, behind every other part of the hand
    assert model.v_template[np.unique(border), 0].min() > model.J[0, 0]


def test_faces_look_outwards_and_are_not_slivers(model):
    corners = model.v_template[model.f.astype(int)]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert np.einsum('ij,ij->', corners[:, 0], normals) > 0
    area = np.linalg.norm(normals, axis=1) / 2
    assert area.min() > 1e-7  # 0.1 mm^2
    assert 0.02 < area.sum() < 0.06  # m^2, a hand has about 0.04


def test_it_is_a_right_hand_of_about_18_cm(model):
    thumb, index, middle, ring, little = model.v_template[list(FINGERTIP_VERTICES)]
    wrist = model.J[0]
    assert 0.17 < np.linalg.norm(middle - wrist) < 0.19
    # MANO's frame: fingers to -x, back of the hand up, so a right hand has its thumb at +z
    fingers = (middle - wrist) / np.linalg.norm(middle - wrist)
    assert fingers @ [-1, 0, 0] > 0.99
    assert thumb[2] > index[2] > middle[2] > ring[2] > little[2]
    # ... and bends its fingers to the palm, down: chirality without any frame
    palmwards = np.cross(model.hands_mean.reshape(15, 3)[:12].sum(0), fingers)
    assert palmwards[1] < 0
    assert np.cross(fingers, thumb - little) @ palmwards < 0
    # fingertips are the far ends of their fingers
    for vertex, joint in zip(FINGERTIP_VERTICES, (15, 3, 6, 12, 9), strict=True):
        own = np.where(model.weights[:, joint] > 0.9)[0]
        away = model.v_template[own] - model.J[joint - 1]
        assert own[np.argmax(np.linalg.norm(away, axis=1))] == vertex


def test_weights_and_regressor_are_convex_and_weights_smooth(model):
    for rows in (model.weights, model.J_regressor):
        assert rows.min() >= 0
        np.testing.assert_allclose(rows.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(model.J_regressor @ model.v_template, model.J, atol=1e-15)
    edges = half_edges(model.f)
    jump = np.abs(model.weights[edges[:, 0]] - model.weights[edges[:, 1]]).max()
    assert jump < 0.45
    assert (model.weights.max(0) > 0.85).all()  # every joint has vertices of its own


def test_fingers_bend_to_the_palm_without_tearing(model):
    mano = Mano(model)
    axes = torch.tensor(bend_axes(), dtype=torch.float32)
    rest = np.linalg.norm(np.diff(model.v_template[half_edges(model.f)], axis=1)[:, 0], axis=1)
    for angle in (0.5, 1.2):
        pose = pose_to_matrix((axes * angle).flatten()[None], 'axis_angle')
        hand = mano(torch.eye(3)[None], pose, torch.zeros(1, 10)).vertices[0].numpy()
        for tip in FINGERTIP_VERTICES[1:]:
            assert hand[tip, 1] < model.v_template[tip, 1] - 0.02
        lengths = np.linalg.norm(np.diff(hand[half_edges(model.f)], axis=1)[:, 0], axis=1)
        assert (lengths / rest).max() < 3


def test_shape_parameters_do_what_they_say(model):
    mano = Mano(model)
    eye = torch.eye(3)
    joints = mano(eye.expand(11, 3, 3), eye.expand(11, 15, 3, 3),
                  torch.cat([torch.zeros(1, 10), torch.eye(10)])).joints.numpy()  # fmt: skip
    length = np.linalg.norm(joints[:, 4::4] - joints[:, 1::4], axis=-1)  # 5 fingers
    assert length[1] / length[0] == pytest.approx(1.04, abs=0.01)
    for finger in range(5):
        change = length[6 + finger] / length[0]
        assert change[finger] > 1.02
        np.testing.assert_allclose(np.delete(change, finger), 1, atol=5e-3)
    moved = np.abs(model.shapedirs).max((0, 1))
    assert (moved > 0.0005).all()
    assert (moved < 0.01).all()


def test_pose_basis(model):
    components = model.hands_components
    np.testing.assert_allclose(components @ components.T, np.eye(45), atol=1e-12)
    poses = model.hands_mean + model.hands_coeffs @ components
    np.testing.assert_allclose(poses.mean(0), model.hands_mean, atol=1e-9)
    assert np.abs(poses).max() < np.pi
    assert (np.diff(model.hands_coeffs.var(0)) < 1e-12).all()
    assert 0 < np.abs(model.posedirs).max() < 0.005
    far = np.linalg.norm(model.v_template - model.J[3], axis=1) > 0.06
    assert np.abs(model.posedirs[far][:, :, 18:27]).max() < 1e-5  # joint 3's columns


def test_seed_changes_poses_only_and_repeats():
    first, again, other = standin_mano(3), standin_mano(3), standin_mano(4)
    np.testing.assert_array_equal(first.posedirs, again.posedirs)
    np.testing.assert_array_equal(first.hands_coeffs, again.hands_coeffs)
    assert not np.array_equal(first.posedirs, other.posedirs)
    np.testing.assert_array_equal(first.v_template, other.v_template)
