"""Triton kernels against float64: on a GPU, or anywhere with TRITON_INTERPRET=1."""

import os

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip('triton')
if not torch.cuda.is_available() and os.environ.get('TRITON_INTERPRET') != '1':
    pytest.skip('needs a GPU, or TRITON_INTERPRET=1', allow_module_level=True)

from benchmarks.gpu.depthwise_kernels import Tile, convolve, taps_first, weight_gradient
from benchmarks.gpu.ffn_kernel import conv_ffn

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cpu' if INTERPRETED else 'cuda'
# the interpreter multiplies matrices of bfloat16 as integers
HALF = torch.float16 if INTERPRETED else torch.bfloat16
LIMITS = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 5e-3}
pytestmark = [] if INTERPRETED else [pytest.mark.gpu]


def draw(shape, dtype, scale=1.0):
    return (torch.randn(shape, device=DEVICE) * scale).to(dtype)


def check(found, expected, dtype):
    assert found.dtype == dtype
    assert found.shape == expected.shape
    assert (found.double() - expected).norm() <= LIMITS[dtype] * expected.norm()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ('shape', 'size', 'stride', 'multiplier', 'tile'),
    [
        ((1, 5, 9, 7), 7, 1, 1, Tile(4, 4, 8, 1)),
        ((2, 16, 8, 8), 7, 2, 2, Tile(2, 4, 16, 1)),
        ((1, 20, 9, 7), 7, 2, 2, Tile(4, 4, 16, 1)),
        ((2, 3, 1, 1), 7, 2, 2, Tile(2, 2, 4, 1)),
        ((1, 20, 6, 5), 3, 1, 2, Tile(2, 2, 16, 1)),
        ((2, 4, 9, 6), 7, 2, 1, Tile(3, 2, 4, 1)),
    ],
)
def test_convolution(shape, size, stride, multiplier, tile, dtype):
    channels = shape[1]
    weight = draw((channels * multiplier, 1, size, size), dtype)
    x, bias = draw(shape, dtype), draw((channels * multiplier,), dtype)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), stride, size // 2, 1, channels)
    taps = taps_first(weight, channels)
    part = F.pad(x, (1, 2, 3, 4))[..., 3:-4, 1:-2]  # of a larger tensor
    check(convolve(part, taps, bias, stride, tile), expected, dtype)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ('shape', 'size', 'tile', 'blocks'),
    [
        ((1, 3, 7, 5), 7, Tile(4, 4, 4, 1), 1),
        ((2, 20, 4, 9), 3, Tile(3, 2, 16, 1), 2),
        ((2, 4, 2, 3), 5, Tile(50, 1, 4, 1), 5),
    ],
)
def test_weight_gradient(shape, size, tile, blocks, dtype):
    channels = shape[1]
    x, gradient = draw(shape, dtype), draw(shape, dtype)
    weight = torch.zeros(
        (channels, 1, size, size), dtype=torch.float64, device=DEVICE, requires_grad=True
    )
    F.conv2d(x.double(), weight, None, 1, size // 2, 1, channels).backward(gradient.double())
    check(weight_gradient(x, gradient, size, tile, blocks), weight.grad, dtype)


@pytest.mark.parametrize('dtype', [torch.float32, HALF])
@pytest.mark.parametrize(
    ('shape', 'hidden', 'columns', 'chunk'),
    [
        ((2, 16, 5, 7), 64, 4, 32),
        ((1, 32, 8, 8), 64, 8, 16),
        ((1, 16, 9, 3), 32, 4, 32),
    ],
)
def test_conv_ffn(shape, hidden, columns, chunk, dtype):
    channels = shape[1]
    x, kernel = draw(shape, dtype), draw((channels, 1, 7, 7), dtype, 1 / 7)
    weight_1 = draw((hidden, channels, 1, 1), dtype, channels**-0.5)
    weight_2 = draw((channels, hidden, 1, 1), dtype, hidden**-0.5)
    biases = [draw((length,), dtype) for length in (channels, hidden, channels)]
    exact = [tensor.double() for tensor in (kernel, weight_1, weight_2, *biases)]
    y = F.conv2d(x.double(), exact[0], exact[3], 1, 3, 1, channels)
    y = F.gelu(F.conv2d(y, exact[1], exact[4]))
    expected = x.double() + F.conv2d(y, exact[2], exact[5])
    found = conv_ffn(
        x,
        taps_first(kernel, channels),
        biases[0],
        weight_1,
        biases[1],
        weight_2,
        biases[2],
        columns=columns,
        chunk=chunk,
        warps=4,
    )
    check(found, expected, dtype)


def test_widths_without_a_kernel():
    x = torch.zeros(1, 24, 4, 4, device=DEVICE)
    with pytest.raises(ValueError, match='24 channels'):
        conv_ffn(x, *[x] * 2, torch.zeros(96, 24, 1, 1), *[x] * 3, columns=4, chunk=32, warps=4)
