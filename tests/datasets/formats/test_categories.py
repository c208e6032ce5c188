"""Ids of classes: those of the annotations, COCO's own, else a count."""

import pytest

from fastvit_dense.datasets.formats.categories import COCO_IDS, category_ids


@pytest.mark.integration
def test_ids_of_coco():
    """Some ids of the official annotation files, one behind each gap."""
    from mmdet.datasets import CocoDataset

    classes = CocoDataset.METAINFO['classes']
    ids = dict(zip(classes, category_ids(classes), strict=True))
    assert (ids['person'], ids['stop sign'], ids['backpack'], ids['toothbrush']) == (1, 13, 27, 90)
    assert (ids['dining table'], ids['toilet'], ids['tv'], ids['book']) == (67, 70, 72, 84)
    assert len(set(COCO_IDS)) == 80


@pytest.mark.parametrize('known', [None, [1], [1, 'x'], 'ab', [True, False], [1, 2.0]])
def test_ids_that_are_not_known(known):
    assert category_ids(('a', 'b'), known) == (1, 2)


def test_known_ids():
    assert category_ids(('a', 'b'), [7, 3]) == (7, 3)
