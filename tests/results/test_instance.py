"""Boxes and masks of one image: fields, data, pictures."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fastvit_dense.results.instance import InstanceResult


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
