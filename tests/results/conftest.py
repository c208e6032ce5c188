"""Predictions for one small picture."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fastvit_dense.results.instance import InstanceResult

CLASSES = ('cat', 'cup')


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.fixture
def instances(image):
    """Two objects, and their masks (2, 120, 160)."""
    masks = np.zeros((2, 120, 160), bool)
    masks[0, 20:60, 40:120] = True
    masks[1, 80:112, 8:36] = True
    rles = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    result = InstanceResult(
        boxes=np.array([[40, 20, 120, 60], [8, 80, 36, 112]], np.float32),
        scores=np.array([0.9, 0.2], np.float32),
        labels=np.array([1, 0]),
        rles=rles,
        classes=CLASSES,
        image=image,
    )
    return result, masks
