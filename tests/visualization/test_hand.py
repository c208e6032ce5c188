import cv2
import numpy as np
import pytest
import torch
from pytorch3d.io import load_obj, load_ply

from fastvit_dense.datasets.sample.hands import sample_hands
from fastvit_dense.hand import standin_mano
from fastvit_dense.hand.camera import project
from fastvit_dense.visualization.hand import (
    PANEL,
    bones,
    draw_hand,
    draw_overlay,
    draw_side_view,
    draw_skeleton,
    error_colors,
    save_mesh,
    vertex_errors,
)
from tests.facts import raises_naming


@pytest.fixture(scope='module')
def hand():
    hands = sample_hands(1, np.random.default_rng(3))
    return {'K': hands.K[0], 'joints': hands.xyz[0], 'vertices': hands.verts[0],
            'faces': standin_mano().f.astype(np.int64)}  # fmt: skip


@pytest.fixture
def image():
    return np.full((224, 224, 3), 40, np.uint8)


def test_bones_form_five_fingers():
    chains = [[b for b in bones() if b[1] in range(1 + 4 * f, 5 + 4 * f)] for f in range(5)]
    for finger, chain in enumerate(chains):
        first = 1 + 4 * finger
        assert [b[:2] for b in chain] == [
            (0, first),
            *((first + i, first + i + 1) for i in range(3)),
        ]
        brightness = [sum(b[2]) for b in chain]
        assert brightness == sorted(brightness), 'dark at the palm, bright at the tip'
    tips = [chain[-1][2] for chain in chains]
    assert tips[0] == (255, 0, 0)  # thumb red, RGB
    assert tips[1] == (255, 255, 0)
    assert tips[2] == (0, 255, 0)
    assert tips[3][2] == 255
    assert tips[4][0] > 150
    assert tips[4][2] == 255


def test_skeleton_lies_on_the_joints(image):
    uv = np.stack([np.linspace(20, 200, 21), 112 + 60 * np.sin(np.arange(21))], 1)
    drawn = draw_skeleton(image, uv)
    for start, end, color in bones():
        for point, expected in ((uv[end], color), ((uv[start] + uv[end]) / 2, None)):
            pixel = drawn[int(point[1]), int(point[0])]
            assert (pixel != 40).any()
            if expected:
                np.testing.assert_array_equal(pixel, expected)
    assert (image == 40).all(), 'the input is left alone'


def test_skeleton_of_points_that_cannot_be_drawn(image):
    uv = np.full((21, 2), np.nan)
    np.testing.assert_array_equal(draw_skeleton(image, uv), image)
    uv[:] = 1e12
    np.testing.assert_array_equal(draw_skeleton(image, uv), image)
    uv[:5] = [[30, 30], [60, 60], [90, 90], [np.nan, 0], [99, 99]]
    assert (draw_skeleton(image, uv) != image).any()


def test_overlay_covers_the_hand_only(hand, image):
    drawn = draw_overlay(image, hand['vertices'], hand['faces'], hand['K'], opacity=1.0)
    inside = project(hand['vertices'], hand['K'])
    touched = (drawn != image).any(-1)
    assert touched[inside[:, 1].astype(int), inside[:, 0].astype(int)].mean() > 0.9
    box = np.zeros((224, 224), bool)
    (x0, y0), (x1, y1) = inside.min(0).astype(int) - 1, inside.max(0).astype(int) + 2
    box[y0:y1, x0:x1] = True
    assert not touched[~box].any()
    blue_over_red = drawn[touched].mean(0)
    assert blue_over_red[2] > blue_over_red[0]


def test_side_views_are_turned_about_the_vertical(hand):
    """Widths: x at 0 degrees, depth at 90; the height stays."""
    extents = np.ptp(hand['vertices'], axis=0)
    sizes = {}
    for angle in (0, 90):
        view = draw_side_view(hand['vertices'], hand['faces'], 300, angle)
        assert view.shape == (300, 300, 3)
        y, x = np.nonzero((view < 250).any(-1))
        sizes[angle] = np.ptp(x), np.ptp(y)
        assert min(x.min(), y.min()) > 5
        assert max(x.max(), y.max()) < 295
    assert sizes[0][0] / sizes[0][1] == pytest.approx(extents[0] / extents[1], rel=0.1)
    assert sizes[90][0] / sizes[90][1] == pytest.approx(extents[2] / extents[1], rel=0.1)


def test_seen_from_the_right_depth_grows_to_the_right():
    near_far = np.array([[0, 0, 1], [0.0, 0.01, 1], [0, 0, 1.1], [0, 0.01, 1.1], [0, 0.005, 1.2]])
    faces = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4]])
    colors = np.array([[1, 0, 0]] * 2 + [[1, 1, 0]] * 2 + [[0, 0, 1.0]])
    view = draw_side_view(near_far, faces, 200, 90, colors).astype(int)
    red = (view[..., 0] - view[..., 2] > 60).nonzero()[1].mean()
    blue = (view[..., 2] - view[..., 0] > 60).nonzero()[1].mean()
    assert red < 90
    assert blue > 110


def test_errors_after_alignment(hand):
    from scipy.spatial.transform import Rotation

    true = hand['vertices']
    moved = 1.3 * true @ Rotation.from_rotvec([0.3, -1, 2]).as_matrix().T + (0.1, 0.2, 0.3)
    assert vertex_errors(moved, true).max() < 1e-6
    bent = true.copy()
    bent[100] += (0, 0, 0.01)
    errors = vertex_errors(bent, true)
    assert errors[100] == pytest.approx(10, abs=0.3)
    assert np.delete(errors, 100).max() < 0.5
    colors = error_colors(np.array([0, 10, 20, 99.0]))
    assert colors[0][2] > colors[0][0]
    assert colors[2][0] > colors[2][2]
    np.testing.assert_array_equal(colors[2], colors[3])


def test_the_row_of_panels(hand, image):
    picture = draw_hand(image, **hand)
    assert picture.size == (4 * PANEL, PANEL)
    assert picture.mode == 'RGB'
    panels = np.split(np.asarray(picture), 4, axis=1)
    uv = project(hand['joints'], hand['K']) * PANEL / 224
    tip = panels[1][int(uv[20, 1]), int(uv[20, 0])].astype(int)
    assert np.abs(tip - (200, 0, 255)).max() <= 2
    assert (panels[0][30:] == 40).all()
    five = draw_hand(image, true_vertices=hand['vertices'] * 1.1, hand_model='stand-in', **hand)
    assert five.size == (5 * PANEL, PANEL)
    assert (np.asarray(five)[-30:, :120] != 40).any(), 'the hand model is named'


@pytest.mark.parametrize('size', [(500, 700), (900, 600), (448, 448), (1000, 1000)])
def test_large_images_are_cut_to_the_hand(hand, size):
    """The panel shows the skeleton where the hand is, in any image."""
    height, width = size
    K = hand['K'].copy()
    K[:2, 2] = width * 0.6, height * 0.4
    picture = draw_hand(np.full((*size, 3), 40, np.uint8), **{**hand, 'K': K})
    panel = np.asarray(picture)[30:, PANEL : 2 * PANEL].astype(int)
    y, x = np.nonzero(np.ptp(panel, axis=2) > 60)
    extent = max(np.ptp(x), np.ptp(y))
    assert extent > (40 if size == (448, 448) else 170)
    assert extent < PANEL - 10


def test_hands_that_lie_outside(hand, image):
    for shift in ((3.0, 0, 0), (0, 0, -2.0)):
        moved = {**hand, 'joints': hand['joints'] + shift, 'vertices': hand['vertices'] + shift}
        assert draw_hand(image, **moved).size == (4 * PANEL, PANEL)
        assert draw_hand(np.zeros((300, 500, 3), np.uint8), **moved).size == (4 * PANEL, PANEL)


def test_without_an_image(hand):
    panel = np.asarray(draw_hand(None, **hand))[:, :PANEL]
    assert (panel[40:] == 255).all()


@pytest.mark.parametrize('suffix', ['obj', 'ply'])
def test_mesh_files(hand, tmp_path, suffix):
    path = save_mesh(
        tmp_path / f'hand.{suffix}', hand['vertices'].astype(np.float32), hand['faces']
    )
    if suffix == 'obj':
        vertices, faces, _ = load_obj(path, load_textures=False)
        faces = faces.verts_idx
    else:
        vertices, faces = load_ply(path)
    np.testing.assert_allclose(vertices.numpy(), hand['vertices'], atol=1e-6)
    np.testing.assert_array_equal(faces.numpy(), hand['faces'])
    assert faces.dtype == torch.int64


def test_other_mesh_files(hand, tmp_path):
    with raises_naming(ValueError, tmp_path / 'hand.stl', '.obj', '.ply'):
        save_mesh(tmp_path / 'hand.stl', hand['vertices'], hand['faces'])


def test_pictures_can_be_opened(hand, image, tmp_path):
    draw_hand(image, **hand).save(tmp_path / 'hand.png')
    assert cv2.imread(str(tmp_path / 'hand.png')).shape == (PANEL, 4 * PANEL, 3)
