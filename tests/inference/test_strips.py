"""Labels strip by strip, against mmseg's own post-processing."""

import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from fastvit_dense.inference import strips
from fastvit_dense.inference.strips import labels_in_strips


class Backbone(nn.Module):
    def forward(self, image):
        return [nn.functional.avg_pool2d(image, 4)]


@pytest.fixture(scope='module')
def build():
    from mmengine.registry import init_default_scope
    from mmseg.models import EncoderDecoder
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    init_default_scope('mmseg')
    MODELS.register_module(name='StripsBackbone', module=Backbone, force=True)

    def build(classes, align_corners=False, **test_cfg):
        torch.manual_seed(0)
        head = {
            'type': 'FCNHead',
            'in_channels': 3,
            'channels': 4,
            'num_convs': 1,
            'num_classes': max(classes, 2),
            'out_channels': classes,
            'threshold': 0.5 if classes == 1 else None,
            'align_corners': align_corners,
            'loss_decode': {'type': 'CrossEntropyLoss', 'use_sigmoid': classes == 1},
        }
        model = EncoderDecoder(
            {'type': 'StripsBackbone'},
            head,
            test_cfg=ConfigDict(test_cfg or {'mode': 'whole'}),
            data_preprocessor={'type': 'SegDataPreProcessor', 'test_cfg': {'size_divisor': 32}},
        ).eval()
        nn.init.normal_(model.decode_head.conv_seg.weight, std=0.01 if classes == 1 else 1)
        return model

    return build


def between(values):
    """A number with about as many values below as above, and none near it."""
    values = values.flatten().double().sort().values
    middle = values[len(values) // 3 : 2 * len(values) // 3 + 1]
    if len(middle) < 2:
        return float(values.mean())
    gap = middle.diff().argmax()
    return float((middle[gap] + middle[gap + 1]) / 2)


def predict(model, sizes, flip=None):
    from mmseg.structures import SegDataSample

    torch.manual_seed(1)
    size = (150, 123)
    samples = [
        SegDataSample(
            metainfo={
                'ori_shape': shape,
                'img_shape': size,
                'flip': bool(flip),
                'flip_direction': flip,
            }
        )
        for shape in sizes
    ]
    inputs = [torch.rand(3, *size) * 255 for _ in sizes]
    with torch.inference_mode():
        found = model.test_step({'inputs': inputs, 'data_samples': samples})
    return [sample.pred_sem_seg.data for sample in found], found


@pytest.mark.parametrize('classes', [1, 2, 19])
@pytest.mark.parametrize('align_corners', [False, True])
def test_labels_are_those_of_mmseg(build, classes, align_corners, monkeypatch):
    monkeypatch.setattr(strips, 'STRIP', 20_000)
    model = build(classes, align_corners)
    for sizes in ([(300, 271)], [(61, 47)], [(150, 123)], [(1, 5)]):
        (expected,), (sample,) = predict(model, sizes)
        if classes == 1:  # so that both labels occur
            probability = sample.seg_logits.data
            model.decode_head.threshold = between(probability)
            expected = probability > model.decode_head.threshold
        assert sizes == [(1, 5)] or len(expected.unique()) > 1
        with labels_in_strips(model):
            (found,), (sample,) = predict(model, sizes)
        assert found.dtype == torch.int64
        assert torch.equal(found, expected.long())
        assert 'seg_logits' not in sample


@pytest.mark.parametrize('flip', ['horizontal', 'vertical'])
def test_mirrored_inputs_and_batches(build, flip):
    model = build(5)
    expected, _ = predict(model, [(200, 90), (33, 70)], flip)
    with labels_in_strips(model):
        found, _ = predict(model, [(200, 90), (33, 70)], flip)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_windows(build):
    test_cfg = {'mode': 'slide', 'crop_size': (64, 64), 'stride': (40, 40)}
    model = build(5, **test_cfg)
    (expected,), _ = predict(model, [(200, 180)])
    with labels_in_strips(model):
        (found,), _ = predict(model, [(200, 180)])
    assert torch.equal(found, expected)


def test_other_models_do_without_mmseg(monkeypatch):
    """Its import would take longer than the first picture of a detector."""
    for name in ('mmseg', 'mmseg.models'):
        monkeypatch.setitem(sys.modules, name, None)
    with labels_in_strips(torch.nn.Identity()) as nothing:
        assert nothing is None


def test_metrics_that_may_read_logits_keep_them(build):
    model = build(5)
    with labels_in_strips(model, ['SemanticMetric', 'OtherMetric']):
        _, (sample,) = predict(model, [(20, 30)])
    assert 'seg_logits' in sample
    with labels_in_strips(model, ['SemanticMetric', 'mmseg.IoUMetric']):
        _, (sample,) = predict(model, [(20, 30)])
    assert 'seg_logits' not in sample
    _, (sample,) = predict(model, [(20, 30)])
    assert 'seg_logits' in sample


PEAK = """
import re, torch
from fastvit_dense.inference.strips import label_map


def peak():  # of this program; ru_maxrss starts with that of the process that started it
    return int(re.search('VmHWM:[^0-9]*([0-9]+)', open('/proc/self/status').read())[1])


torch.set_num_threads(1)
logits = torch.randn(150, 32, 48)
before = peak()
labels = label_map(logits, (128, 192), (1000, 1500))
strips = peak()
large = torch.nn.functional.interpolate(logits[None], size=(1000, 1500), mode='bilinear')
labels = large[0].argmax(0)
print((peak() - before) // 1024, (strips - before) // 1024)
"""


def test_memory_does_not_grow_with_the_classes():
    run = subprocess.run(
        [sys.executable, '-c', PEAK],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
    )
    plain, strip_by_strip = map(int, run.stdout.split())
    assert plain > 600  # 150 x 1000 x 1500 values of 4 bytes are 858 MB
    assert strip_by_strip < 450  # labels are 11 MB, a strip 64 and its steps a few times that
