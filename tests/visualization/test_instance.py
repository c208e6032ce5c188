"""Pictures of boxes and masks, pixel by pixel."""

from itertools import pairwise

import numpy as np
import pytest

from fastvit_dense.visualization.instance import draw_instances
from fastvit_dense.visualization.palette import class_color

NAMES = ('cat', 'cup', 'person')
GREY = 100


@pytest.fixture
def image():
    return np.full((120, 160, 3), GREY, np.uint8)


def as_array(picture, shape=(120, 160)):
    array = np.asarray(picture)
    assert array.shape == (*shape, 3)
    assert array.dtype == np.uint8
    return array


def test_nothing_to_draw_leaves_the_image(image):
    empty = np.zeros((0, 4))
    for masks in (None, np.zeros((0, 120, 160), bool)):
        drawn = draw_instances(image, empty, np.zeros(0, int), NAMES, masks, np.zeros(0))
        np.testing.assert_array_equal(as_array(drawn), image)


def test_box_is_an_outline_of_its_class(image):
    """Its border has the colour of the class; inside and outside nothing changes."""
    drawn = as_array(draw_instances(image, np.array([[40, 50, 120, 100.0]]), np.array([1]), NAMES))
    for x, y in ((40, 75), (120, 75), (80, 50), (80, 100)):
        assert tuple(drawn[y, x]) == class_color(1)
    assert (drawn[54:98, 44:118] == GREY).all()
    assert (drawn[102:] == GREY).all()
    assert (drawn[:, 122:] == GREY).all()


def test_mask_is_blended_and_outlined(image):
    """45 % of the colour inside, all of it on the mask's border pixels."""
    mask = np.zeros((1, 120, 160), bool)
    mask[0, 50:100, 40:120] = True
    box = np.array([[5, 5, 6, 6.0]])  # elsewhere: only the mask is looked at
    drawn = as_array(draw_instances(image, box, np.array([2]), NAMES, mask)).astype(int)
    blend = np.array([int(0.55 * GREY + 0.45 * c) for c in class_color(2)])
    assert (np.abs(drawn[51:99, 41:119] - blend) <= 1).all()
    for border in (drawn[50, 40:120], drawn[99, 40:120], drawn[50:100, 40], drawn[50:100, 119]):
        assert (border == class_color(2)).all()
    assert (drawn[101:, :] == GREY).all()


def test_small_instances_lie_on_top(image):
    """In whichever order they come."""
    boxes = np.array([[40, 40, 60, 60], [10, 30, 150, 110.0]])
    masks = np.zeros((2, 120, 160), bool)
    masks[0, 40:60, 40:60] = True
    masks[1, 30:110, 10:150] = True
    labels = np.array([0, 1])
    drawn = [
        as_array(draw_instances(image, boxes[o], labels[o], NAMES, masks[o]))
        for o in ([0, 1], [1, 0])
    ]
    np.testing.assert_array_equal(*drawn)
    assert tuple(drawn[0][40, 50]) == class_color(0)


@pytest.mark.parametrize(
    'box', [[0, 0, 160, 120], [-20, -10, 30, 20], [150, 110, 400, 300], [80, 60, 80, 60]]
)
def test_boxes_at_and_beyond_the_border(image, box):
    drawn = as_array(draw_instances(image, np.array([box], float), np.array([0]), NAMES))
    assert (drawn != GREY).any()


def test_label_stays_in_the_picture_and_shows_the_score(image):
    """A longer text covers more; at the right border it moves to the left."""
    box = np.array([[20, 60, 60, 100.0]])
    plain = as_array(draw_instances(image, box, np.array([0]), NAMES))
    scored = as_array(draw_instances(image, box, np.array([0]), NAMES, None, np.array([0.873])))
    assert (scored[40:60] != GREY).any(axis=2).sum() > (plain[40:60] != GREY).any(axis=2).sum()
    box = np.array([[150, 60, 158, 100.0]])
    drawn = as_array(draw_instances(image, box, np.array([2]), NAMES))
    columns = (drawn[46:58] != GREY).any(axis=(0, 2)).nonzero()[0]
    assert columns.max() - columns.min() > 30
    assert columns.min() > 90


@pytest.mark.parametrize('shape', [(1, 1), (2, 300), (300, 2)])
def test_odd_images(shape):
    image = np.zeros((*shape, 3), np.uint8)
    mask = np.ones((1, *shape), bool)
    box = np.array([[0, 0, shape[1], shape[0]]], float)
    as_array(draw_instances(image, box, np.array([0]), NAMES, mask, np.array([1.0])), shape)
    assert not image.any(), 'the image itself is left as it is'


def test_colours_of_classes_differ():
    colors = [class_color(i) for i in range(150)]
    assert len(set(colors)) == 150
    for color, following in pairwise(colors):
        assert sum(abs(a - b) for a, b in zip(color, following, strict=True)) > 100
