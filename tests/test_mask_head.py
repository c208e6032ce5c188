"""The mask head that encodes: the pixels of mmdet's, through the model and into the metric."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import HOOKS, MODELS, VISUALIZERS, DefaultScope
from mmengine.structures import InstanceData
from PIL import Image
from pycocotools import mask as coco_mask

from fastvit_dense.evaluation.masks import encode_masks
from fastvit_dense.mask_head import FCNMaskHead, RLEMaskHead, RunLengthMasks


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


@pytest.mark.filterwarnings('ignore:__array_wrap__:DeprecationWarning')
@pytest.mark.parametrize('count', [3, 0])
def test_mmdets_hook_draws_the_same_picture(tmp_path, count):
    """`default_hooks.visualization` with draw=True, on codes as on tensors."""
    path = tmp_path / 'a.jpg'
    Image.new('RGB', (80, 60), (100, 100, 100)).save(path)
    masks = torch.zeros(4, 60, 80, dtype=torch.bool)
    for k in range(4):
        masks[k, 5 + 9 * k : 20 + 9 * k, 10:60] = True
    codes = RunLengthMasks(encode_masks(masks), (60, 80))
    visualizer = VISUALIZERS.build({'type': 'DetLocalVisualizer', 'name': f'{tmp_path}'})
    visualizer.dataset_meta = {'classes': ('a', 'b'), 'palette': [(250, 0, 0), (0, 0, 250)]}
    drawn = []
    for name, kind in (('tensor', masks), ('codes', codes)):
        found = InstanceData(
            bboxes=torch.tensor([[10.0, 5 + 9 * k, 60, 20 + 9 * k] for k in range(4)]),
            labels=torch.tensor([0, 1, 1, 0]),
            scores=torch.tensor([0.9, 0.1, 0.8, 0.7]) * (1 if count else 0.1),
            masks=kind,
        )
        sample = DetDataSample(pred_instances=found, metainfo={'img_path': str(path)})
        hook = HOOKS.build({'type': 'DetVisualizationHook', 'draw': True, 'test_out_dir': name})
        hook._visualizer = visualizer
        np.random.seed(0)  # the visualizer varies its colours
        hook.after_test_iter(SimpleNamespace(work_dir=tmp_path, timestamp=''), 0, {}, [sample])
        (picture,) = (tmp_path / name).glob('*.jpg')
        drawn.append(np.asarray(Image.open(picture)))
    np.testing.assert_array_equal(*drawn)
    original = np.asarray(Image.open(path))
    assert (drawn[0][:, -80:].astype(int) - original > 60).any() == bool(count)


def test_no_detections():
    results = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    meta = {'ori_shape': (20, 30), 'scale_factor': (1.0, 1.0)}
    head = MODELS.build({'type': 'RLEMaskHead', 'num_convs': 0, 'num_classes': 3})
    (predicted,) = head.predict_by_feat(
        (torch.zeros(0, 3, 28, 28),), [results], [meta], ConfigDict(mask_thr_binary=0.5), True
    )
    assert len(predicted.masks) == 0
