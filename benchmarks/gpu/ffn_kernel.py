"""A folded ConvFFN with its residual as one Triton kernel, channels last.

A program computes all channels of 4 rows of some columns: the depthwise convolution, which stays on
the chip, then the hidden channels chunk by chunk, each multiplied, through GELU and multiplied
again. Device memory sees the input, the output and the weights.

The sums of a program, (pixels, channels) in float32, must stand in registers, and its tile of the
depthwise convolution and some chunks of weights in shared memory. Compiled for compute capability
9.0, 64 and 128 channels have room for 128 and 64 pixels, 256 for 64 with 200 registers and more. At
512 channels 64 pixels spill; 32 do not, but are too few for Hopper's matrix instructions of 64
rows, and every program reads all 4 MB of weights: nothing much is to be expected there.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from benchmarks.gpu.depthwise_kernels import convolved_rows
from benchmarks.gpu.mend_ways import channels_last

ROWS = 4
MAX_CHANNELS = 512


@triton.jit
def _gelu(x):
    """GELU with the error function of Abramowitz and Stegun, 7.1.28, within 3e-7.

    CUDA's own takes some 30 instructions, and there are four hidden channels for one other.
    """
    z = tl.abs(x) * 0.7071067811865476
    series = 0.0001520143 + z * (0.0002765672 + z * 0.0000430638)
    series = 1 + z * (0.0705230784 + z * (0.0422820123 + z * (0.0092705272 + z * series)))
    tail = 1 / series
    tail *= tail
    tail *= tail
    tail *= tail
    tail *= 0.5 * tail  # of the normal distribution beyond |x|
    return x * tl.where(x < 0, tail, 1 - tail)


@triton.jit
def _conv_ffn(
    x,
    taps,
    bias,
    weight_1,
    bias_1,
    weight_2,
    bias_2,
    out,
    height,
    width,
    CHANNELS: tl.constexpr,
    HIDDEN: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Compute 4 x COLUMNS pixels."""
    across = tl.cdiv(width, COLUMNS)
    first_row = tl.program_id(0) // across * 4
    first_column = tl.program_id(0) % across * COLUMNS
    channel = tl.arange(0, CHANNELS)
    offset = tl.program_id(1).to(tl.int64) * height * width * CHANNELS
    rows = convolved_rows(
        x + offset,
        taps,
        bias,
        height,
        width,
        CHANNELS,
        first_row,
        first_column + tl.arange(0, COLUMNS),
        channel,
        SIZE,
        1,
        1,
        4,
    )
    # (column, channel, row % 2, row // 2), then the pixels (column, row) in one dimension
    tile = tl.join(tl.join(rows[0], rows[1]), tl.join(rows[2], rows[3]))
    tile = tile.permute(0, 3, 2, 1).reshape(4 * COLUMNS, CHANNELS).to(x.dtype.element_ty)

    sums = tl.zeros([4 * COLUMNS, CHANNELS], tl.float32)
    for start in range(0, HIDDEN, CHUNK):
        hidden = start + tl.arange(0, CHUNK)
        part_1 = tl.load(weight_1 + hidden[:, None] * CHANNELS + channel[None, :])
        part_2 = tl.load(weight_2 + channel[:, None] * HIDDEN + hidden[None, :])
        values = tl.dot(tile, part_1.T, input_precision='ieee')
        values += tl.load(bias_1 + hidden).to(tl.float32)[None, :]
        values = _gelu(values)
        sums = tl.dot(values.to(x.dtype.element_ty), part_2.T, sums, input_precision='ieee')

    pixel = tl.arange(0, 4 * COLUMNS)
    row, column = first_row + pixel % 4, first_column + pixel // 4
    inside = ((row < height) & (column < width))[:, None]
    where = (row * width + column)[:, None] * CHANNELS + channel[None, :]
    sums += tl.load(bias_2 + channel).to(tl.float32)[None, :]
    sums += tl.load(x + offset + where, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + offset + where, sums.to(out.dtype.element_ty), mask=inside)


def conv_ffn(
    x: Tensor,
    taps: Tensor,
    bias: Tensor,
    weight_1: Tensor,
    bias_1: Tensor,
    weight_2: Tensor,
    bias_2: Tensor,
    *,
    columns: int,
    chunk: int,
    warps: int,
    stages: int = 2,
) -> Tensor:
    """Compute `x + fc2(gelu(fc1(conv(x))))`.

    Args:
        x: (B, C, H, W), C a power of two from 16 to `MAX_CHANNELS`.
        taps: (K * K, 1, C), of `taps_first`.
        bias: (C,).
        weight_1: (hidden, C, 1, 1).
        bias_1: (hidden,).
        weight_2: (C, hidden, 1, 1), with the layer scale in it, as `bias_2` (C,).
        bias_2: See there.
        columns: Of a program; it has 4 rows of them, and a matrix unit wants 16 pixels or more.
        chunk: Hidden channels at a time, at least 16, a divisor of their number.
        warps: Of a program.
        stages: Chunks of weights in shared memory at a time.

    Returns:
        (B, C, H, W), channels last.

    Raises:
        ValueError: The channels do not fit.
    """
    x = channels_last(x)
    batch_size, channels, height, width = x.shape
    hidden = len(weight_1)
    if channels > MAX_CHANNELS or channels < 16 or channels & (channels - 1) or hidden % chunk:
        raise ValueError(f'no kernel for {channels} channels and {hidden} hidden ones')
    out = torch.empty_like(x)
    programs = -(-height // ROWS) * -(-width // columns)
    _conv_ffn[programs, batch_size](
        x,
        taps,
        bias,
        weight_1,
        bias_1,
        weight_2,
        bias_2,
        out,
        height,
        width,
        CHANNELS=channels,
        HIDDEN=hidden,
        SIZE=round(len(taps) ** 0.5),
        COLUMNS=columns,
        CHUNK=chunk,
        num_warps=warps,
        num_stages=stages,
    )
    return out
