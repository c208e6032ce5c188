"""The mask head that encodes: the pixels of mmdet's, through the model and into the metric."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from fastvit_dense.mask_head import FCNMaskHead, RLEMaskHead


@pytest.fixture(autouse=True)
def _mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize('activate_map', [False, True])
def test_same_pixels_as_mmdets_head(class_agnostic, rescale, activate_map):
    generator = torch.Generator().manual_seed(0)
    preds = torch.randn(6, 1 if class_agnostic else 3, 28, 28, generator=generator)
    if activate_map:
        preds = preds.sigmoid()
    corners = torch.rand(6, 4, generator=generator) * 70
    corners[:, 2:] += corners[:, :2]
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    meta = {'ori_shape': (211, 307), 'scale_factor': (0.71, 0.69)}
    found = []
    for head in (FCNMaskHead, RLEMaskHead):
        results = InstanceData(bboxes=corners.clone(), labels=labels)
        built = head(num_convs=0, num_classes=3, class_agnostic=class_agnostic)
        (predicted,) = built.predict_by_feat(
            (preds,), [results], [meta], ConfigDict(mask_thr_binary=0.5), rescale, activate_map
        )
        found.append(predicted)
    assert torch.equal(found[0].bboxes, found[1].bboxes)
    for mask, code in zip(found[0].masks, found[1].masks, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(code), mask.numpy())
    assert found[1][torch.tensor([2, 0])].masks == [found[1].masks[2], found[1].masks[0]]


def test_no_detections():
    results = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    meta = {'ori_shape': (20, 30), 'scale_factor': (1.0, 1.0)}
    head = MODELS.build({'type': 'RLEMaskHead', 'num_convs': 0, 'num_classes': 3})
    (predicted,) = head.predict_by_feat(
        (torch.zeros(0, 3, 28, 28),), [results], [meta], ConfigDict(mask_thr_binary=0.5), True
    )
    assert len(predicted.masks) == 0
