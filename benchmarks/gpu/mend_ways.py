"""Slow operators of SA24 on a GPU, and the ways to compute each: as it stands, and mended."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.machine import BenchmarkError
from fastvit_dense.backbones.blocks import ConvFFN

STANDS = 'as it stands'
SIZE = 7  # of the kernels
BYTES = 256e6  # of the inputs of all calls, more than any cache

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """An operator with its input (B, C, H, W), and how often a pass of SA24 has it."""

    operator: str
    shape: tuple[int, int, int, int]
    calls: int


# In order of value; the first two at 512 px and batch 16, the third as Mask R-CNN is trained.
CASES = (
    Case('downsampling', (16, 64, 128, 128), 1),
    Case('downsampling', (16, 256, 32, 32), 1),
    Case('downsampling', (16, 128, 64, 64), 1),
    Case('ConvFFN', (16, 64, 128, 128), 4),
    Case('ConvFFN', (16, 256, 32, 32), 12),
    Case('ConvFFN', (16, 128, 64, 64), 4),
    Case('weight gradient', (8, 64, 200, 336), 4),
    Case('weight gradient', (8, 128, 100, 168), 4),
    Case('weight gradient', (8, 256, 50, 84), 12),
    Case('weight gradient', (8, 512, 25, 42), 5),
    Case('ConvFFN', (16, 512, 16, 16), 4),
)
QUICK_CASES = (
    Case('downsampling', (2, 16, 9, 14), 1),
    Case('ConvFFN', (1, 16, 9, 14), 1),
    Case('weight gradient', (2, 16, 9, 14), 1),
)
# Sizes of the kernels' programs: none spills, compiled for compute capability 9.0.
# rows, columns, channels, warps
DOWNSAMPLING_TILES = ((4, 8, 64, 4), (2, 8, 64, 4), (2, 16, 32, 4))
CONVOLUTION_TILE = (8, 8, 64, 4)
GRADIENT_TILES = ((50, 4, 64, 4), (25, 4, 64, 4))
GRADIENT_PROGRAMS = 700  # about: two waves of them on a GPU of 132 multiprocessors
# columns, hidden channels at a time, warps, stages, by channels
FUSED_TILES = {
    64: ((32, 64, 8, 2), (16, 64, 4, 2)),
    128: ((16, 64, 8, 2), (16, 32, 8, 3)),
    256: ((16, 32, 8, 3), (16, 64, 8, 2)),
    512: ((8, 32, 8, 2),),
}


@dataclass
class Work:
    """The computation of a case, and the ways to do it.

    Attributes:
        reference: Computes it in float64 from inputs in float64.
        sets: Inputs of the calls.
        nbytes: That one call must move: inputs and weights read once, the output written once.
        makers: Ways by name, the first as it stands; each prepares the weights and returns a
            function of the inputs, or raises why there is none.
    """

    reference: Function
    sets: list[tuple[Tensor, ...]]
    nbytes: int
    makers: dict[str, Callable[[], Function]] = field(default_factory=dict)


def _random(shape: tuple[int, ...], device: str, scale: float = 1.0) -> Tensor:
    """Random numbers, channels last where there are four dimensions; bf16 on a GPU."""
    dtype = torch.bfloat16 if device == 'cuda' else torch.float32
    values = (torch.randn(shape, device=device) * scale).to(dtype)
    return channels_last(values) if len(shape) == 4 else values


def _input_sets(shapes: list[tuple[int, ...]], device: str) -> list[tuple[Tensor, ...]]:
    one = tuple(_random(shape, device) for shape in shapes)
    count = 2
    if device == 'cuda':
        count = max(2, round(BYTES / sum(tensor.nbytes for tensor in one)))
    return [one] + [tuple(_random(shape, device) for shape in shapes) for _ in range(count - 1)]


def channels_last(tensor: Tensor) -> Tensor:
    """Return (B, C, H, W) with its channels beside each other in memory, itself if they are."""
    return tensor.contiguous(memory_format=torch.channels_last)


def _on_gpu(device: str, make: Callable[[], Function]) -> Callable[[], Function]:
    """Refuse on a CPU what is code for a GPU."""

    def checked() -> Function:
        if device != 'cuda':
            raise BenchmarkError('needs a GPU')
        return make()

    return checked


def convolution(x: Tensor, weight: Tensor, bias: Tensor, stride: int = 2) -> Tensor:
    """Depthwise, as it stands: (B, C, H, W) by (C * M, 1, K, K)."""
    return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, 1, x.shape[1])


def with_repeated_channels(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same as one convolution with as many inputs as outputs: every channel stands twice."""
    shape = (*x.permute(0, 2, 3, 1).shape, 2)
    doubled = x.permute(0, 2, 3, 1)[..., None].expand(shape).flatten(3).permute(0, 3, 1, 2)
    return convolution(doubled, weight, bias)


def with_two_convolutions(x: Tensor, even: list[Tensor], odd: list[Tensor]) -> Tensor:
    """The same as one convolution for even and one for odd outputs, (weight, bias) each."""
    parts = [convolution(x, *each).permute(0, 2, 3, 1) for each in (even, odd)]
    return torch.stack(parts, -1).flatten(3).permute(0, 3, 1, 2)


def in_contiguous_layout(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same with channels first for this operator alone; the output is channels last."""
    return channels_last(convolution(x.contiguous(), weight.contiguous(), bias))


def _downsampling(case: Case, device: str) -> Work:
    batch_size, channels, height, width = case.shape
    sets = _input_sets([case.shape], device)
    weight = _random((2 * channels, 1, SIZE, SIZE), device, 1 / SIZE)
    bias = _random((2 * channels,), device)
    pixels = batch_size * -(-height // 2) * -(-width // 2)
    out_bytes = 2 * channels * pixels * bias.element_size()
    work = Work(
        lambda x: convolution(x.contiguous(), weight.double().contiguous(), bias.double()),
        sets,
        sets[0][0].nbytes + weight.nbytes + bias.nbytes + out_bytes,
    )
    halves = [[weight[m::2].clone(), bias[m::2].clone()] for m in (0, 1)]
    work.makers = {
        STANDS: lambda: lambda x: convolution(x, weight, bias),
        'repeated channels': lambda: lambda x: with_repeated_channels(x, weight, bias),
        'two convolutions': lambda: lambda x: with_two_convolutions(x, *halves),
        'contiguous layout': lambda: lambda x: in_contiguous_layout(x, weight, bias),
    }
    for sizes in DOWNSAMPLING_TILES:
        name = f'Triton {sizes}'
        work.makers[name] = _on_gpu(device, _triton_convolution(weight, bias, 2, channels, sizes))
    return work


def _triton_convolution(
    weight: Tensor, bias: Tensor, stride: int, channels: int, sizes: tuple[int, int, int, int]
) -> Callable[[], Function]:
    def make() -> Function:
        from benchmarks.gpu.depthwise_kernels import Tile, convolve, taps_first

        taps, tile = taps_first(weight, channels), Tile(*sizes)
        return lambda x: convolve(x, taps, bias, stride, tile)

    return make


def make_ffn(channels: int, device: str) -> ConvFFN:
    """Fold a ConvFFN and draw weights with which no part of it is small beside another."""
    ffn = ConvFFN(channels, 4 * channels, 'BN').eval()
    ffn.fold(torch.ones(channels, 1, 1))
    ffn = ffn.to(device).requires_grad_(False)
    for conv in (ffn.conv.conv, ffn.fc1, ffn.fc2):
        conv.weight.data = _random(conv.weight.shape, device, conv.weight[0].numel() ** -0.5)
        conv.bias.data = _random(conv.bias.shape, device)
    return ffn


def _conv_ffn(case: Case, device: str) -> Work:
    channels = case.shape[1]
    ffn = make_ffn(channels, device)
    exact = make_ffn(channels, device).double()
    exact.load_state_dict(ffn.state_dict())
    sets = _input_sets([case.shape], device)
    weights = [p for conv in (ffn.conv.conv, ffn.fc1, ffn.fc2) for p in (conv.weight, conv.bias)]
    work = Work(
        lambda x: x + exact(x),
        sets,
        2 * sets[0][0].nbytes + sum(tensor.nbytes for tensor in weights),
    )

    def compiled() -> Function:
        return torch.compile(lambda x: x + ffn(x), dynamic=False)

    def triton_in_front() -> Function:
        first = _triton_convolution(weights[0], weights[1], 1, channels, CONVOLUTION_TILE)()
        return lambda x: x + ffn.fc2(ffn.act(ffn.fc1(first(x))))

    work.makers = {
        STANDS: lambda: lambda x: x + ffn(x),
        'Triton depthwise': _on_gpu(device, triton_in_front),
    }
    for sizes in FUSED_TILES.get(channels, FUSED_TILES[64]):
        work.makers[f'Triton {sizes}'] = _on_gpu(device, _triton_ffn(weights, sizes))
    work.makers['compiled'] = _on_gpu(device, compiled)
    return work


def _triton_ffn(weights: list[Tensor], sizes: tuple[int, int, int, int]) -> Callable[[], Function]:
    def make() -> Function:
        from benchmarks.gpu.depthwise_kernels import taps_first
        from benchmarks.gpu.ffn_kernel import conv_ffn

        kernel, *others = weights
        taps = taps_first(kernel, len(kernel))
        settings = dict(zip(('columns', 'chunk', 'warps', 'stages'), sizes, strict=True))
        return lambda x: conv_ffn(x, taps, *others, **settings)

    return make


def weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Compute the kernel's gradient, (C, 1, 7, 7), as autograd does."""
    channels, half = x.shape[1], SIZE // 2
    weight = x.new_empty((channels, 1, SIZE, SIZE))
    settings = [1, 1], [half, half], [1, 1], False, [0, 0], channels, [False, True, False]
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *settings)[1]


def weight_gradient_contiguous(x: Tensor, gradient: Tensor) -> Tensor:
    """The same with channels first for this operator alone."""
    return weight_gradient(x.contiguous(), gradient.contiguous())


def weight_gradient_by_fft(x: Tensor, gradient: Tensor) -> Tensor:
    """The same as a correlation by Fourier transforms in float32 or more, summed over the batch."""
    half, (height, width) = SIZE // 2, x.shape[-2:]
    # lags of -half to half must not meet; even lengths are faster
    size = [(max(SIZE, length + half) + 1) // 2 * 2 for length in (height, width)]
    wide = x.dtype if x.dtype == torch.float64 else torch.float32
    spectra = [torch.fft.rfft2(t.to(wide).contiguous(), size) for t in (x, gradient)]
    product = (spectra[0] * spectra[1].conj()).sum(0)
    shifted = torch.fft.irfft2(product, size).roll((half, half), (-2, -1))
    return shifted[:, None, :SIZE, :SIZE].to(x.dtype)


def _gradient(case: Case, device: str) -> Work:
    sets = _input_sets([case.shape, case.shape], device)
    x = sets[0][0]
    work = Work(
        weight_gradient_contiguous,
        sets,
        2 * x.nbytes + case.shape[1] * SIZE * SIZE * x.element_size(),
    )
    work.makers = {
        STANDS: lambda: weight_gradient,
        'contiguous layout': lambda: weight_gradient_contiguous,
        'Fourier transforms': lambda: weight_gradient_by_fft,
    }
    for sizes in GRADIENT_TILES:
        work.makers[f'Triton {sizes}'] = _on_gpu(device, _triton_gradient(case, sizes))
    return work


def _triton_gradient(case: Case, sizes: tuple[int, int, int, int]) -> Callable[[], Function]:
    def make() -> Function:
        from benchmarks.gpu.depthwise_kernels import Tile, weight_gradient

        batch_size, channels, height, width = case.shape
        tile = Tile(*sizes)
        parts = batch_size * -(-channels // tile.channels) * -(-height // tile.rows)
        blocks = max(1, round(parts * width / tile.columns / GRADIENT_PROGRAMS))
        return lambda x, gradient: weight_gradient(x, gradient, SIZE, tile, blocks)

    return make


MAKE = {'downsampling': _downsampling, 'ConvFFN': _conv_ffn, 'weight gradient': _gradient}
