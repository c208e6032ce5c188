"""The MAC counter against closed forms."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

from fastvit_dense.backbones import count_macs, reparameterize


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_layers(device):
    with torch.device(device):
        x = torch.empty(2, 6, 9, 10)
        assert count_macs(nn.Conv2d(6, 4, 3, padding=1, groups=2), x) == 2 * 90 * 4 * 3 * 9
        assert count_macs(nn.ConvTranspose2d(6, 4, 2, stride=2), x) == 2 * 90 * 6 * 4 * 4
        assert count_macs(nn.Linear(10, 3), x) == 2 * 6 * 9 * 10 * 3
        assert count_macs(nn.Sequential(nn.BatchNorm2d(6), nn.GELU()).eval(), x) == 0


def test_attention_products():
    q, kv = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
    assert count_macs(F.scaled_dot_product_attention, q, kv, kv) == 2 * (2 * 3 * 5 * 7 * 8)
    assert count_macs(lambda: torch.einsum('bhqc,bhkc->bhqk', q, kv)) == 2 * 3 * 5 * 7 * 8


def test_fused_attention_layers_are_seen():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    tokens = torch.randn(1, 5, 16)
    products = 2 * 5 * 5 * 16
    assert count_macs(layer, tokens) == 5 * (4 * 16 * 16 + 2 * 16 * 32) + products
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_whole_model_through_a_callable():
    model = nn.ModuleDict({'backbone': nn.Conv2d(3, 8, 1), 'head': nn.Conv2d(8, 2, 1)}).train()
    forward = lambda images: model['head'](model['backbone'](images)).argmax(1)
    assert count_macs(forward, torch.randn(1, 3, 4, 5)) == 20 * (3 * 8 + 8 * 2)
    assert model.training


@pytest.mark.parametrize(
    ('arch', 'gmacs'),
    [
        ('sa12', 29.3),
        pytest.param('sa24', 36.7, marks=pytest.mark.slow),
        pytest.param('sa36', 44.1, marks=pytest.mark.slow),
        ('ma36', 53.1),
    ],
)
def test_semantic_fpn(arch, gmacs):
    """Whole models at 512x512; the paper prints 29, 37, 44, 53 (Table 9)."""
    from mmseg.registry import MODELS

    config = Path(__file__).parents[2] / 'configs' / f'semfpn_fastvit_{arch}.py'
    with torch.device('meta'):
        model = reparameterize(MODELS.build(Config.fromfile(config).model).eval())
        images = torch.empty(1, 3, 512, 512)
    macs = count_macs(lambda: model(images, mode='tensor'))
    assert round(macs / 1e9, 1) == gmacs
