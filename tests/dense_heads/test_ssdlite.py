"""SSDLite's parts: sizes of maps, anchors within the picture, a loss that trains.

The values of its maps, predictors and boxes are held in tests/checkpoints/test_mobilevit_dense.py.
"""

import pytest
import torch
from mmengine.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData

from fastvit_dense import load_model
from fastvit_dense.tasks.config import load_config

pytestmark = pytest.mark.integration


def test_maps():
    neck = MODELS.build(dict(type='SSDLiteNeck', in_channels=(8, 12), out_channels=(6, 5, 4, 3, 2)))
    maps = neck((torch.rand(2, 8, 20, 24), torch.rand(2, 12, 10, 12)))
    sizes = [(6, 20, 24), (5, 10, 12), (4, 5, 6), (3, 3, 3), (2, 1, 1)]
    assert [tuple(m.shape[1:]) for m in maps] == sizes


def test_anchors_are_no_larger_than_the_picture():
    generator = TASK_UTILS.build(
        dict(
            type='SSDLiteAnchorGenerator',
            input_size=320,
            strides=[160, 320],
            ratios=[[2, 3], [2]],
            min_sizes=[80, 300],
            max_sizes=[180, 336],
        )
    )
    small, large = generator.base_anchors
    sides = small[:, 2:] - small[:, :2]
    assert sides[0].tolist() == pytest.approx([80, 80])
    assert sides[1].tolist() == pytest.approx([120, 120])  # the root of 80 x 180
    assert sides[2].tolist() == pytest.approx([80 * 2**0.5, 80 / 2**0.5])  # lying, then upright
    assert sides[5].tolist() == pytest.approx([80 / 3**0.5, 80 * 3**0.5], rel=1e-5)
    sides = large[:, 2:] - large[:, :2]
    assert sides.max() == 320
    assert sides[2].tolist() == pytest.approx([320, 300 / 2**0.5])
    assert ((large[:, :2] + large[:, 2:]) / 2).tolist() == [[160.0, 160.0]] * 4


def test_loss_reaches_every_parameter():
    cfg = load_config('ssdlite_mobilevit_xxs', pretrained=False)
    torch.manual_seed(0)
    model = load_model(cfg, device='cpu').model.train()
    boxes = torch.tensor([[10.0, 20, 60, 90], [100, 100, 220, 300], [0, 0, 320, 320]])
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=dict(img_shape=(320, 320), pad_shape=(320, 320)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 5, 79]))
    loss = model.loss(torch.rand(2, 3, 320, 320), [sample, sample.clone()])
    total, _ = model.parse_losses(loss)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
