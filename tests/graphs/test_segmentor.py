"""What segmentors hold beside ours: heads of mmseg, padding when testing."""

import pytest
import torch
from torch import nn

from fastvit_dense.deploy.export import export
from fastvit_dense.errors import ExportError
from fastvit_dense.graphs.segmentor import AdaptivePool
from tests.facts import raises_naming
from tests.tiny import save_random

pytestmark = pytest.mark.integration
UPER_HEAD = """
model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='UPerHead',
        in_channels=[48, 96, 192, 384],
        in_index=[0, 1, 2, 3],
        channels=16,
        pool_scales=(1, 2, 3, 6),
        num_classes=11,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
)
"""
PADDED = 'model = dict(data_preprocessor=dict(test_cfg=dict({}), pad_val={}))'


@pytest.fixture
def changed(tiny_semantic, shallow, tmp_path):
    """`changed(text)`: a config that inherits `tiny_semantic`, and a checkpoint of it."""

    def make(text):
        config = tmp_path / 'changed.py'
        backbone = f"model['backbone'] = dict(arch='{shallow}')"
        config.write_text(f"_base_ = '{tiny_semantic}'\n{text}\n{backbone}\n")
        return config, save_random(config, tmp_path / 'changed.pth')

    return make


@pytest.mark.parametrize('cells', [2, 3, 6, (1, 4)])
@pytest.mark.parametrize('size', [(1, 1), (2, 5), (7, 12), (33, 64)])
def test_adaptive_pooling_is_torchs(cells, size):
    pool, x = nn.AdaptiveAvgPool2d(cells), torch.rand(2, 3, *size)
    torch.testing.assert_close(AdaptivePool(pool)(x), pool(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ('kind', 'text'),
    [
        ('onnx', UPER_HEAD),
        ('onnx', PADDED.format('size_divisor=32', 0)),
        ('coreml', UPER_HEAD),
        pytest.param('openvino', UPER_HEAD, marks=pytest.mark.slow),
        pytest.param('openvino', PADDED.format('size_divisor=32', 0), marks=pytest.mark.slow),
    ],
    ids=['onnx-uper', 'onnx-padded', 'coreml-uper', 'openvino-uper', 'openvino-padded'],
)
def test_what_else_mmseg_has(changed, kind, text, tmp_path, capsys):
    """Pyramid pooling and padded test images, through the export's own check at several sizes."""
    pytest.importorskip({'onnx': 'onnxruntime', 'coreml': 'coremltools'}.get(kind, kind))
    suffix, size = {'onnx': '.onnx', 'openvino': '.xml', 'coreml': '.mlpackage'}[kind], (72, 100)
    status = export(*changed(text), kind, tmp_path / f'model{suffix}', size=size)
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize(('size', 'value'), [('size=(128, 128)', 0), ('size_divisor=32', 0.5)])
def test_other_padding_is_refused(changed, tmp_path, size, value):
    with raises_naming(ExportError, 'model.data_preprocessor', f'pad_val={value}', 'size_divisor'):
        export(*changed(PADDED.format(size, value)), 'onnx', tmp_path / 'model.onnx')
