"""Depthwise convolution and its weight gradient in Triton, channels last.

What bounds them is not memory but arithmetic and its instructions: matrix units have no use for a
depthwise convolution, and 49 products for every number that is read take longer, at one product per
lane and cycle, than the reading. So a program reads and converts a number once and uses it for all
outputs that it has at hand.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from benchmarks.gpu.mend_ways import channels_last


@dataclass(frozen=True)
class Tile:
    """Rows, columns and channels that one program computes, and the warps it has."""

    rows: int
    columns: int
    channels: int
    warps: int


def taps_first(weight: Tensor, groups: int) -> Tensor:
    """Arrange a kernel (groups * M, 1, K, K) as (K * K, M, groups), as the convolution reads it."""
    multiplier = weight.shape[0] // groups
    return weight.reshape(groups, multiplier, -1).permute(2, 1, 0).contiguous()


@triton.jit
def _added(sums, index: tl.constexpr, value):
    return sums[:index] + (sums[index] + value,) + sums[index + 1 :]


@triton.jit
def convolved_rows(
    image,
    weight,
    bias,
    height,
    width,
    channels,
    first_row,
    columns,
    channel,
    SIZE: tl.constexpr,
    STRIDE: tl.constexpr,
    MULTIPLIER: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Return ROWS x MULTIPLIER float32 tensors of outputs (columns, channels).

    A row of inputs is read once for each tap along it, and added to every output row it is part of.
    """
    present = channel < channels
    line = width * channels
    sums = ()
    for _ in tl.static_range(ROWS):
        for m in tl.static_range(MULTIPLIER):
            start = tl.load(bias + channel * MULTIPLIER + m, mask=present, other=0.0)
            zeros = tl.zeros([columns.shape[0], channel.shape[0]], tl.float32)
            sums += (zeros + start.to(tl.float32)[None, :],)
    for tap in range(SIZE):
        column = columns * STRIDE + tap - SIZE // 2
        valid = ((column >= 0) & (column < width))[:, None] & present[None, :]
        offsets = column[:, None] * channels + channel[None, :]
        taps = ()
        for index in tl.static_range(SIZE * MULTIPLIER):
            position = (index // MULTIPLIER * SIZE + tap) * MULTIPLIER + index % MULTIPLIER
            values = tl.load(weight + position * channels + channel, mask=present, other=0.0)
            taps += (values.to(tl.float32)[None, :],)
        for index in tl.static_range((ROWS - 1) * STRIDE + SIZE):
            row = first_row * STRIDE + index - SIZE // 2
            inside = valid & (row >= 0) & (row < height)
            values = tl.load(image + row * line + offsets, mask=inside, other=0.0).to(tl.float32)
            for r in tl.static_range(ROWS):
                for m in tl.static_range(MULTIPLIER):
                    if index - r * STRIDE >= 0 and index - r * STRIDE < SIZE:
                        product = values * taps[(index - r * STRIDE) * MULTIPLIER + m]
                        sums = _added(sums, r * MULTIPLIER + m, product)
    return sums


@triton.jit
def _convolution(
    x,
    weight,
    bias,
    out,
    height,
    width,
    out_height,
    out_width,
    channels,
    SIZE: tl.constexpr,
    STRIDE: tl.constexpr,
    MULTIPLIER: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Compute ROWS x COLUMNS outputs of CHANNELS groups."""
    across = tl.cdiv(out_width, COLUMNS)
    first_row = tl.program_id(0) // across * ROWS
    columns = tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    image = x + tl.program_id(2).to(tl.int64) * height * width * channels
    sums = convolved_rows(
        image,
        weight,
        bias,
        height,
        width,
        channels,
        first_row,
        columns,
        channel,
        SIZE,
        STRIDE,
        MULTIPLIER,
        ROWS,
    )
    image = out + tl.program_id(2).to(tl.int64) * out_height * out_width * channels * MULTIPLIER
    channel = tl.program_id(1) * CHANNELS * MULTIPLIER + tl.arange(0, CHANNELS * MULTIPLIER)
    for r in tl.static_range(ROWS):
        if MULTIPLIER == 1:
            values = sums[r]
        else:
            values = tl.interleave(sums[2 * r], sums[2 * r + 1])
        where = ((first_row + r) * out_width + columns)[:, None] * channels * MULTIPLIER
        valid = (columns < out_width) & (first_row + r < out_height)
        valid = valid[:, None] & (channel < channels * MULTIPLIER)[None, :]
        tl.store(image + where + channel[None, :], values.to(out.dtype.element_ty), mask=valid)


def convolve(x: Tensor, taps: Tensor, bias: Tensor, stride: int, tile: Tile) -> Tensor:
    """Convolve every channel with kernels of its own.

    Args:
        x: (B, C, H, W).
        taps: (K * K, M, C) of `taps_first`, M of 1 or 2, K odd; zeros pad the image by K // 2.
        bias: (C * M,).
        stride: Of the outputs, in both directions.
        tile: Of a program; its channels count those of `x`.

    Returns:
        (B, C * M, ceil(H / stride), ceil(W / stride)), channels last.
    """
    x = channels_last(x)
    batch_size, channels, height, width = x.shape
    size, multiplier = round(len(taps) ** 0.5), taps.shape[1]
    out_height, out_width = -(-height // stride), -(-width // stride)
    out = torch.empty(
        (batch_size, channels * multiplier, out_height, out_width),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
    tiles = -(-out_height // tile.rows) * -(-out_width // tile.columns)
    _convolution[tiles, -(-channels // tile.channels), batch_size](
        x,
        taps,
        bias,
        out,
        height,
        width,
        out_height,
        out_width,
        channels,
        SIZE=size,
        STRIDE=stride,
        MULTIPLIER=multiplier,
        ROWS=tile.rows,
        COLUMNS=tile.columns,
        CHANNELS=tile.channels,
        num_warps=tile.warps,
    )
    return out


@triton.jit
def _weight_gradient(
    x,
    gradient,
    out,
    height,
    width,
    channels,
    rows,
    blocks,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Add up, for SIZE x SIZE taps of CHANNELS channels, over a part of one image.

    Blocks of columns are walked down, one after another; SIZE rows of the outputs' gradient stay
    at hand, and every row of inputs is read once for each tap along it.
    """
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    present = channel < channels
    across = tl.cdiv(width, COLUMNS * blocks)
    first = tl.program_id(0) // across * rows
    last = tl.minimum(first + rows, height)
    line = width * channels
    offset = tl.program_id(2).to(tl.int64) * height * line
    image, gradient_image = x + offset, gradient + offset

    sums = ()
    for _ in tl.static_range(SIZE * SIZE):
        sums += (tl.zeros([COLUMNS, CHANNELS], tl.float32),)
    for block in range(blocks):
        columns = (tl.program_id(0) % across * blocks + block) * COLUMNS + tl.arange(0, COLUMNS)
        offsets = columns[:, None] * channels + channel[None, :]
        valid = (columns < width)[:, None] & present[None, :]
        window = ()  # gradients of the rows from row - SIZE // 2 to row + SIZE // 2
        for _ in tl.static_range(SIZE - 1):
            window += (tl.zeros([COLUMNS, CHANNELS], tl.float32),)
        for row in range(first - SIZE // 2, last + SIZE // 2):
            ahead = row + SIZE // 2
            where = gradient_image + ahead * line + offsets
            new = tl.load(where, mask=valid & (ahead < last), other=0.0)
            window += (new.to(tl.float32),)
            for tap in tl.static_range(SIZE):
                column = columns + tap - SIZE // 2
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                where = image + (row * line + (tap - SIZE // 2) * channels) + offsets
                values = tl.load(where, mask=inside[:, None] & present[None, :], other=0.0)
                values = values.to(tl.float32)
                for index in tl.static_range(SIZE):  # of the output row - SIZE // 2 + index
                    product = values * window[index]
                    sums = _added(sums, (SIZE - 1 - index) * SIZE + tap, product)
            window = window[1:]
    program = tl.program_id(2) * tl.num_programs(0) + tl.program_id(0)
    target = out + program * SIZE * SIZE * COLUMNS * channels
    offsets = tl.arange(0, COLUMNS)[:, None] * channels + channel[None, :]
    for s in tl.static_range(SIZE * SIZE):
        where = target + s * COLUMNS * channels + offsets
        tl.store(where, sums[s], mask=tl.broadcast_to(present[None, :], [COLUMNS, CHANNELS]))


def weight_gradient(x: Tensor, gradient: Tensor, size: int, tile: Tile, blocks: int = 1) -> Tensor:
    """Compute the gradient of the kernel of a depthwise convolution of stride 1.

    Args:
        x: (B, C, H, W), the convolution's input; zeros pad it by `size` // 2.
        gradient: (B, C, H, W), of its output.
        size: Odd side of the kernel.
        tile: The part of an image that one program adds up: rows and channels, and columns that
            stand beside each other.
        blocks: So often as many columns, one block after another.

    Returns:
        (C, 1, size, size), in the type of `x`. Sums are in float32 and in the same order every
        time.
    """
    x, gradient = channels_last(x), channels_last(gradient)
    batch_size, channels, height, width = x.shape
    parts = -(-height // tile.rows) * -(-width // (tile.columns * blocks))
    sums = torch.empty((parts * batch_size, size * size, tile.columns, channels), device=x.device)
    _weight_gradient[parts, -(-channels // tile.channels), batch_size](
        x,
        gradient,
        sums,
        height,
        width,
        channels,
        tile.rows,
        blocks,
        SIZE=size,
        COLUMNS=tile.columns,
        CHANNELS=tile.channels,
        num_warps=tile.warps,
    )
    return sums.sum((0, 2)).T.reshape(channels, 1, size, size).to(x.dtype)
