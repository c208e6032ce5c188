"""mmdet's zoo with FastViT: the documented overrides train and predict on the CPU."""

import re

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

import fastvit_dense
from tests.model_zoo import (
    DOCUMENT,
    build_model,
    load_config,
    predict,
    read_overrides,
    train_one_step,
)

pytestmark = pytest.mark.integration
OVERRIDES = read_overrides('Detection and instance segmentation')
SIZE = (64, 96)


def detection_batch():
    """Two random pictures with a rectangle each, boxes and masks as mmdet packs them."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    samples = []
    for x1, y1, x2, y2 in ((8, 10, 60, 50), (30, 4, 90, 60)):
        mask = np.zeros((1, *SIZE), dtype=np.uint8)
        mask[0, y1:y2, x1:x2] = 1
        sample = DetDataSample(
            metainfo=dict(
                img_shape=SIZE,
                ori_shape=SIZE,
                batch_input_shape=SIZE,
                scale_factor=(1.0, 1.0),
                img_id=len(samples),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[x1, y1, x2, y2]], dtype=torch.float32),
            labels=torch.tensor([3]),
            masks=BitmapMasks(mask, *SIZE),
        )
        samples.append(sample)
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, *SIZE), generator=generator).byte() for _ in samples]
    return dict(inputs=images, data_samples=samples)


def shrink(node):
    """Fewer proposals, RoIs, points and queries: the same code in less time."""
    small = dict(num_points=64, num_queries=20, max_per_img=20, nms_pre=50)
    if isinstance(node, dict):
        for key, value in node.items():
            if key in small and isinstance(value, int):
                node[key] = min(value, small[key])
            elif key == 'sampler' and 'num' in value:
                value.num = 16
            else:
                shrink(value)
    elif isinstance(node, list | tuple):
        for child in node:
            shrink(child)


@pytest.mark.parametrize('title', OVERRIDES)
def test_override_trains_and_predicts(title, tmp_path):
    config = load_config(OVERRIDES[title], tmp_path)
    shrink(config.model)
    config.model.data_preprocessor.pop('batch_augments', None)  # pads to 1024 x 1024
    model = build_model(config)
    batch = detection_batch()
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx(
        [123.675, 116.28, 103.53]
    )
    train_one_step(model, batch)

    results = predict(model, detection_batch())
    assert len(results) == 2
    for result in results:
        instances = result.pred_instances
        assert instances.scores.isfinite().all()
        boxes = instances.bboxes
        assert boxes.shape == (len(instances), 4)
        assert boxes.isfinite().all()
        assert ((instances.labels >= 0) & (instances.labels < 80)).all()
        if 'masks' in instances:
            assert instances.masks.shape == (len(instances), *SIZE)
        if len(boxes):
            assert boxes[:, 0::2].max() <= SIZE[1]
            assert boxes[:, 1::2].max() <= SIZE[0]


def test_the_promised_models_are_documented():
    assert set(OVERRIDES) == {
        'Faster R-CNN',
        'RetinaNet',
        'Cascade Mask R-CNN',
        'FCOS',
        'ATSS',
        'GFL',
        'RTMDet-Ins',
        'Mask2Former',
        'Deformable DETR',
    }


def test_documented_channels():
    text = DOCUMENT.read_text()
    for arch in ('t8', 't12', 's12', 'sa12', 'sa24', 'sa36', 'ma36'):
        (row,) = [
            line
            for line in text.splitlines()
            if re.match(rf' *\|[^|]*\b{arch}\b[^|]*(\| *\d+ *){{4}}\|', line)
        ]
        channels = [int(cell) for cell in row.split('|')[2:6]]
        with torch.device('meta'):
            assert channels == list(fastvit_dense.FastViT(arch=arch).out_channels)
