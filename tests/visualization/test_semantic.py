"""Pictures of class maps, pixel by pixel."""

import numpy as np
import pytest

from fastvit_dense.visualization.palette import class_color
from fastvit_dense.visualization.semantic import draw_semantic, inner_point

NAMES = ('sky', 'sea', 'sand')


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def test_colours_are_blended_and_ignored_pixels_kept(image):
    labels = np.full((60, 80), 255)
    labels[:, 40:] = 2
    drawn = np.asarray(draw_semantic(image, labels, NAMES, opacity=0.5, min_share=2))
    np.testing.assert_array_equal(drawn[:, :40], image[:, :40])
    wanted = 0.5 * image[:, 40:].astype(float) + 0.5 * np.array(class_color(2))
    assert np.abs(drawn[:, 40:] - wanted).max() <= 1


def test_palette_and_full_opacity(image):
    palette = [[1, 2, 3], [40, 50, 60], [200, 100, 0]]
    labels = np.arange(60)[:, None].repeat(80, 1) // 20
    drawn = np.asarray(draw_semantic(image, labels, NAMES, palette, opacity=1, min_share=2))
    np.testing.assert_array_equal(drawn, np.array(palette, np.uint8)[labels])


def test_larger_regions_are_named(image):
    """The name stands in the region; regions below `min_share` have none."""
    labels = np.zeros((60, 80), int)
    labels[:5, :5] = 1
    options = dict(palette=[[90, 90, 90]] * 3, opacity=1)
    bare = np.asarray(draw_semantic(image, labels, NAMES, **options, min_share=2))
    named = np.asarray(draw_semantic(image, labels, NAMES, **options, min_share=0.01))
    assert (bare == 90).all()
    changed = (named != bare).any(axis=2)
    assert changed.any()
    assert not changed[:5, :5].any()


@pytest.mark.parametrize('labels', [-1, 3, 255])
def test_no_known_class(image, labels):
    drawn = draw_semantic(image, np.full((60, 80), labels), NAMES)
    np.testing.assert_array_equal(np.asarray(drawn), image)


def test_one_pixel():
    drawn = draw_semantic(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), int), NAMES)
    assert drawn.size == (1, 1)


def test_inner_point_is_farthest_from_the_border():
    """Of a ring it lies on the ring; of a rectangle in its middle; brute force agrees."""
    mask = np.zeros((21, 31), bool)
    mask[3:18, 4:26] = True
    assert inner_point(mask) == (10, 11)
    mask[8:13, 6:26] = False
    y, x = inner_point(mask)
    assert mask[y, x]
    outside = np.argwhere(~np.pad(mask, 1)) - 1
    distances = {
        (i, j): np.hypot(*(outside - (i, j)).T).min() for i, j in np.argwhere(mask).tolist()
    }
    assert distances[int(y), int(x)] == max(distances.values())
