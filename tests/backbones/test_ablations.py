"""The paper's ablations as switches: sizes by closed forms, the same values when folded."""

import copy

import pytest
import torch
from torch import nn

from fastvit_dense.backbones import FastViT, count_macs, reparameterize
from fastvit_dense.backbones.convolutions import LargeKernelConv, MobileOneBlock
from fastvit_dense.backbones.variants import VARIANTS

from .randomise import randomise, relative_error

QUICK, DEEP = ('t8', 'sa12', 'mci0'), ('sa24', 'sa36', 'ma36')
SWITCHES = (
    dict(overparameterized=False),
    dict(large_kernels=False),
    dict(overparameterized=False, large_kernels=False),
)


def built(arch, **switches):
    with torch.device('meta'):
        return FastViT(arch, **switches)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def branches(variant):
    """Parameters beside the main convolutions; a norm has two for each channel."""
    channels = variant.embed_dims[0]
    stem = (3 + 2) * channels + (1 + 2) * channels + 2 * channels
    mixers = sum(
        blocks * (1 + 2 + 2) * dim
        for blocks, dim, mixer in zip(
            variant.layers, variant.embed_dims, variant.mixers, strict=True
        )
        if mixer == 'R'
    )
    return stem + mixers + sum((9 + 2 + 2) * dim for dim in variant.embed_dims[1:])


def larger_taps(variant):
    """Taps of 7x7 kernels over those of 3x3: in every ConvFFN, in every patch embedding."""
    pairs = list(zip(variant.layers, variant.embed_dims, strict=True))
    return [40 * blocks * dim for blocks, dim in pairs], [0, *(40 * dim for _, dim in pairs[1:])]


@pytest.mark.parametrize('arch', [*QUICK, *DEEP])
def test_parameters(arch):
    variant, whole = VARIANTS[arch], parameters(built(arch))
    single = branches(variant)
    taps = sum(map(sum, larger_taps(variant)))
    beside = 8 * sum(variant.embed_dims[1:])  # 1x1 beside 3x3, in place of 3x3 beside 7x7
    assert whole - parameters(built(arch, overparameterized=False)) == single
    assert whole - parameters(built(arch, large_kernels=False)) == taps + beside
    both = built(arch, overparameterized=False, large_kernels=False)
    assert whole - parameters(both) == single + taps


@pytest.mark.parametrize(
    'arch', [*QUICK, *(pytest.param(arch, marks=pytest.mark.slow) for arch in DEEP)]
)
def test_folded_sizes(arch):
    """Branches cost nothing once they are folded; large kernels do, at each stage's size."""
    folded = built(arch, reparameterized=True)
    single = built(arch, reparameterized=True, overparameterized=False)
    assert {k: v.shape for k, v in folded.state_dict().items()} == {
        k: v.shape for k, v in single.state_dict().items()
    }
    small = built(arch, reparameterized=True, large_kernels=False)
    taps = [ffn + embed for ffn, embed in zip(*larger_taps(VARIANTS[arch]), strict=True)]
    images = torch.empty(1, 3, 256, 256, device='meta')
    expected = sum(count * (64 >> stage) ** 2 for stage, count in enumerate(taps))
    assert count_macs(folded, images) - count_macs(small, images) == expected
    assert count_macs(folded, images) == count_macs(single, images)


def test_one_branch_in_every_convolution():
    model = built('sa12', overparameterized=False)
    for block in (m for m in model.modules() if isinstance(m, MobileOneBlock)):
        assert sum(1 for _ in block._branches()) == 1
    embeds = [m for m in model.modules() if isinstance(m, LargeKernelConv)]
    assert len(embeds) == 3
    assert all(embed.small_conv is None for embed in embeds)
    assert not model.overparameterized
    assert model.large_kernels


@pytest.mark.parametrize('switches', SWITCHES, ids=str)
@pytest.mark.parametrize('arch', ['sa12', 'mci0'])
def test_folds_to_the_same_values(arch, switches):
    torch.manual_seed(0)
    model = randomise(FastViT(arch, **switches)).eval()
    folded = reparameterize(copy.deepcopy(model))
    norms = [n for n, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(name.startswith('out_norms') for name in norms)
    assert (
        folded.state_dict().keys()
        == built(arch, reparameterized=True, **switches).state_dict().keys()
    )
    images = torch.randn(2, 3, 47, 33)
    with torch.no_grad():
        for output, expected in zip(folded(images), model(images), strict=True):
            assert relative_error(output, expected) < 1e-4


@pytest.mark.parametrize('switches', SWITCHES, ids=str)
def test_every_parameter_gets_a_gradient(switches):
    torch.manual_seed(0)
    model = FastViT('sa12', **switches)
    sum((out * torch.randn_like(out)).sum() for out in model(torch.randn(2, 3, 33, 33))).backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
