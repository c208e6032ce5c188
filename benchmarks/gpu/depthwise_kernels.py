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


@dataclass(frozen=True)
class Tile:
    """What one program computes: rows, columns, channels of the output, and by how many warps."""

    rows: int
    columns: int
    channels: int
    warps: int

    def __str__(self) -> str:
        return f'{self.rows}x{self.columns}x{self.channels}, {self.warps} warps'


def channels_last(tensor: Tensor) -> Tensor:
    """Return (B, C, H, W) with its channels beside each other in memory, itself if they are."""
    return tensor.contiguous(memory_format=torch.channels_last)


def taps_first(weight: Tensor, groups: int) -> Tensor:
    """Arrange a kernel (groups * M, 1, K, K) as (K * K, M, groups), as the convolution reads it."""
    multiplier = weight.shape[0] // groups
    return weight.reshape(groups, multiplier, -1).permute(2, 1, 0).contiguous()


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
    """Compute ROWS x COLUMNS outputs of CHANNELS groups.

    A row of inputs is read once for each tap along it, and added to every output row it is part of.
    """
    across = tl.cdiv(out_width, COLUMNS)
    first_row = tl.program_id(0) // across * ROWS
    columns = tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    present = channel < channels
    image = x + tl.program_id(2).to(tl.int64) * height * width * channels

    sums = ()
    for _ in tl.static_range(ROWS):
        for m in tl.static_range(MULTIPLIER):
            start = tl.load(bias + channel * MULTIPLIER + m, mask=present, other=0.0)
            zeros = tl.zeros([COLUMNS, CHANNELS], tl.float32)
            sums += (zeros + start.to(tl.float32)[None, :],)
    for tap in range(SIZE):
        column = columns * STRIDE + tap - SIZE // 2
        inside = (column >= 0) & (column < width)
        taps = ()
        for index in tl.static_range(SIZE * MULTIPLIER):
            row_of_taps = index // MULTIPLIER * SIZE + tap
            where = weight + (row_of_taps * MULTIPLIER + index % MULTIPLIER) * channels + channel
            taps += (tl.load(where, mask=present, other=0.0).to(tl.float32)[None, :],)
        for index in tl.static_range((ROWS - 1) * STRIDE + SIZE):
            row = first_row * STRIDE + index - SIZE // 2
            valid = (inside & (row >= 0) & (row < height))[:, None] & present[None, :]
            where = image + (row * width + column)[:, None] * channels + channel[None, :]
            values = tl.load(where, mask=valid, other=0.0).to(tl.float32)
            for r in tl.static_range(ROWS):
                for m in tl.static_range(MULTIPLIER):
                    if index - r * STRIDE >= 0 and index - r * STRIDE < SIZE:
                        s = r * MULTIPLIER + m
                        added = sums[s] + values * taps[(index - r * STRIDE) * MULTIPLIER + m]
                        sums = sums[:s] + (added,) + sums[s + 1 :]

    image = out + tl.program_id(2).to(tl.int64) * out_height * out_width * channels * MULTIPLIER
    channel = (
        tl.program_id(1) * CHANNELS * MULTIPLIER + tl.arange(0, CHANNELS * MULTIPLIER)
    )
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
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Add up, for SIZE x SIZE taps of CHANNELS channels, over some rows of one image.

    A block of columns is walked down; SIZE rows of the outputs' gradient stay at hand, and every
    row of inputs is read once for each tap along it.
    """
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    present = channel < channels
    strips = tl.cdiv(height, rows)
    first = tl.program_id(0) % strips * rows
    last = tl.minimum(first + rows, height)
    offset = (tl.program_id(0) // strips).to(tl.int64) * height * width * channels
    image, gradient_image = x + offset, gradient + offset

    sums = ()
    for _ in tl.static_range(SIZE * SIZE):
        sums += (tl.zeros([COLUMNS, CHANNELS], tl.float32),)
    for block in range(tl.cdiv(width, COLUMNS)):
        columns = block * COLUMNS + tl.arange(0, COLUMNS)
        window = ()  # gradients of the rows row - SIZE // 2 ... row + SIZE // 2 - 1
        for _ in tl.static_range(SIZE - 1):
            window += (tl.zeros([COLUMNS, CHANNELS], tl.float32),)
        for row in range(first - SIZE // 2, last + SIZE // 2):
            ahead = row + SIZE // 2
            valid = ((columns < width) & (ahead < last))[:, None] & present[None, :]
            where = (ahead * width + columns)[:, None] * channels + channel[None, :]
            new = tl.load(gradient_image + where, mask=valid, other=0.0).to(tl.float32)
            window += (new,)
            for tap in tl.static_range(SIZE):
                column = columns + tap - SIZE // 2
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                where = (row * width + column)[:, None] * channels + channel[None, :]
                valid = inside[:, None] & present[None, :]
                values = tl.load(image + where, mask=valid, other=0.0).to(tl.float32)
                for index in tl.static_range(SIZE):  # output row - SIZE // 2 + index
                    s = (SIZE - 1 - index) * SIZE + tap
                    added = sums[s] + values * window[index]
                    sums = sums[:s] + (added,) + sums[s + 1 :]
            window = window[1:]
    target = out + tl.program_id(0) * SIZE * SIZE * channels + channel
    for s in tl.static_range(SIZE * SIZE):
        tl.store(target + s * channels, tl.sum(sums[s], 0), mask=present)


def weight_gradient(x: Tensor, gradient: Tensor, size: int, rows: int, tile: Tile) -> Tensor:
    """Compute the gradient of the kernel of a depthwise convolution of stride 1.

    Args:
        x: (B, C, H, W), the convolution's input; zeros pad it by `size` // 2.
        gradient: (B, C, H, W), of its output.
        size: Odd side of the kernel.
        rows: Of an image that one program adds up.
        tile: Of a program: columns and channels that are added up beside each other.

    Returns:
        (C, 1, size, size), in the type of `x`. Sums are in float32 and in the same order every
        time.
    """
    x, gradient = channels_last(x), channels_last(gradient)
    batch_size, channels, height, width = x.shape
    programs = batch_size * -(-height // rows)
    parts = torch.empty((programs, size * size, channels), device=x.device)
    _weight_gradient[programs, -(-channels // tile.channels)](
        x,
        gradient,
        parts,
        height,
        width,
        channels,
        rows,
        SIZE=size,
        COLUMNS=tile.columns,
        CHANNELS=tile.channels,
        num_warps=tile.warps,
    )
    return parts.sum(0).T.reshape(channels, 1, size, size).to(x.dtype)
