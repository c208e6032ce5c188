"""Boxes and masks of one image: fields, data, pictures."""

import json
import sys

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fastvit_dense.errors import PredictionError
from fastvit_dense.results.instance import InstanceResult
from tests.facts import raises_naming


def test_instances_as_dict(instances):
    """x, y, width, height as in COCO; JSON takes it; the masks come back from it."""
    result, masks = instances
    data = json.loads(json.dumps(result.to_dict()))
    assert [item['bbox'] for item in data['instances']] == [[40, 20, 80, 40], [8, 80, 28, 32]]
    assert [item['class'] for item in data['instances']] == ['cup', 'cat']
    assert [item['label'] for item in data['instances']] == [1, 0]
    assert [item['score'] for item in data['instances']] == pytest.approx([0.9, 0.2])
    for item, mask in zip(data['instances'], masks, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(item['segmentation']), mask)
    np.testing.assert_array_equal(result.masks, masks)


def test_instances_below_the_threshold_are_not_drawn(instances, image):
    result, masks = instances
    drawn = np.asarray(result.draw())
    assert (drawn[masks[0]] != image[masks[0]]).any(axis=1).mean() > 0.9
    np.testing.assert_array_equal(drawn[70:], image[70:])
    result.score_threshold = 0.1
    assert (np.asarray(result.draw())[masks[1]] != image[masks[1]]).any()


def test_boxes_without_masks(instances):
    result, _ = instances
    result.rles = None
    assert result.masks is None
    assert all('segmentation' not in item for item in result.to_dict()['instances'])
    assert result.draw().size == (160, 120)


def test_no_instance(instances, image):
    result, _ = instances
    empty = InstanceResult(
        result.boxes[:0], result.scores[:0], result.labels[:0], [], result.classes, image
    )
    assert empty.masks.shape == (0, 120, 160)
    assert empty.to_dict() == {'task': 'instance', 'instances': []}
    np.testing.assert_array_equal(np.asarray(empty.draw()), image)


def test_ids_of_categories_and_length(instances):
    result, _ = instances
    assert len(result) == 2
    result.category_ids = (17, 47)
    assert [item['category_id'] for item in result.to_dict()['instances']] == [47, 17]


def test_what_scores_enough(instances):
    """All that is left is drawn; the ids of the classes stay."""
    result, masks = instances
    result.category_ids = (17, 47)
    assert result.objects == 1
    few, none = result.above(0.5), result.above(0.95)
    assert (len(few), few.objects, len(none), bool(none)) == (1, 1, 0, True)
    np.testing.assert_array_equal(few.masks, masks[:1])
    assert few.to_dict()['instances'][0]['category_id'] == 47
    assert none.masks.shape == (0, 120, 160)
    assert result.above(0.1).objects == 2


def test_objects_of_supervision(instances):
    pytest.importorskip('supervision')
    result, masks = instances
    found = result.to_supervision()
    np.testing.assert_array_equal(found.xyxy, result.boxes)
    np.testing.assert_array_equal(found.mask, masks)
    np.testing.assert_array_equal(found.class_id, [1, 0])
    np.testing.assert_allclose(found.confidence, [0.9, 0.2])
    assert list(found.data['class_name']) == ['cup', 'cat']
    assert len(result.above(0.95).to_supervision()) == 0
    result.rles = None
    assert result.to_supervision().mask is None


def test_supervision_that_is_missing_is_one_line(instances, monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with raises_naming(PredictionError, 'supervision', 'pip install supervision'):
        instances[0].to_supervision()
