"""Pooling over regions of interest."""

from collections.abc import Callable

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from ...errors import OperatorError
from .common import HOW_TO_COMPILE, wide


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al. 2017) with average pooling.

    Args:
        input: (B, C, H, W).
        rois: (K, 5).
        output: (K, C, aligned_height, aligned_width), filled.
        argmax_y: Used by max pooling only.
        argmax_x: Used by max pooling only.
        aligned_height: Bins along y.
        aligned_width: Bins along x.
        spatial_scale: Feature cells per input pixel.
        sampling_ratio: Samples per bin and axis; 0 takes as many as the bin has cells.
        pool_mode: 1 average; 0 maximum is refused.
        aligned: Whether pixel centres lie at half-integers.

    Raises:
        OperatorError: `pool_mode` is not 1.
    """
    _refuse_max_pooling(pool_mode)
    output.copy_(
        torch.ops.torchvision.roi_align(
            wide(input),
            rois.to(wide(input).dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of `roi_align_forward` with respect to its input, written into `grad_input`."""
    _refuse_max_pooling(pool_mode)
    grad = wide(grad_output)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            rois.to(grad.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _refuse_max_pooling(pool_mode: int) -> None:
    if pool_mode != 1:
        raise OperatorError(
            "roi_align: pool_mode='max' is not available without compiled operators, only 'avg'; "
            + HOW_TO_COMPILE
        )


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """RoI max pooling; a bin covers every cell that it touches, RoI borders are not rounded.

    The last pixel of a RoI belongs to it: it reaches from `x1 * scale` to `(x2 + 1) * scale`.

    Args:
        input: (B, C, H, W).
        rois: (K, 5).
        output: (K, C, pooled_height, pooled_width), filled; 0 where a bin is empty.
        argmax: Same shape, int32, filled with `y * W + x` of the maximum; -1 where a bin is empty.
        pooled_height: Bins along y.
        pooled_width: Bins along x.
        spatial_scale: Feature cells per input pixel.
    """
    height, width = input.shape[-2:]
    output.zero_()
    argmax.fill_(-1)
    rois = wide(rois)
    start = rois[:, 1:3] * spatial_scale
    end = (rois[:, 3:5] + 1) * spatial_scale
    columns = _bins(start[:, 0], end[:, 0], pooled_width, width)
    rows = _bins(start[:, 1], end[:, 1], pooled_height, height)
    for k, image_index in enumerate(rois[:, 0].long().tolist()):
        (row, row_inside), (column, column_inside) = rows(k), columns(k)
        inside = row_inside[:, None, :, None] & column_inside[None, :, None, :]
        if not inside.any():
            continue
        cells = input[image_index][:, row[:, None, :, None], column[None, :, None, :]]
        cells = cells.masked_fill(~inside, -torch.inf).flatten(-2)
        best, position = cells.max(-1)
        cell_index = row[:, None, :, None] * width + column[None, :, None, :]
        cell_index = cell_index.flatten(-2).expand_as(cells).gather(-1, position[..., None])[..., 0]
        empty = ~inside.flatten(-2).any(-1)
        output[k] = best.masked_fill(empty, 0)
        argmax[k] = cell_index.masked_fill(empty, -1).to(argmax.dtype)


def _bins(
    start: Tensor, end: Tensor, bins: int, size: int
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Cells of every bin along one axis.

    Args:
        start: (K,) where each RoI begins, in cells.
        end: (K,) where it ends.
        bins: Number of bins.
        size: Number of cells of the feature map.

    Returns:
        A function of the RoI's index that returns the cell indices (bins, M) of its bins and which
        of them belong to the bin; a RoI of no extent has none.
    """
    step = torch.arange(bins, device=start.device)
    bin_size = ((end - start) / bins)[:, None]
    first = torch.floor(step * bin_size + start[:, None]).long().clamp(0, size)
    last = torch.ceil((step + 1) * bin_size + start[:, None]).long().clamp(0, size)
    last = torch.where(bin_size > 0, last, first)

    def cells_of(k: int) -> tuple[Tensor, Tensor]:
        longest = int((last[k] - first[k]).max())
        cells = first[k][:, None] + torch.arange(longest, device=start.device)
        return cells.clamp(max=size - 1), cells < last[k][:, None]

    return cells_of


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Gradient of `roi_pool_forward`: each bin's gradient goes to the cell of its maximum."""
    batch, channels, height, width = grad_input.shape
    gradient = wide(grad_input).new_zeros(batch, channels, height * width)
    cell = argmax.flatten(2).long()
    image_index = rois[:, 0].long()[:, None, None].expand_as(cell)
    channel = torch.arange(channels, device=rois.device)[:, None].expand_as(cell)
    gradient.index_put_(
        (image_index, channel, cell.clamp(min=0)),
        wide(grad_output).flatten(2).masked_fill(cell < 0, 0),
        accumulate=True,
    )
    grad_input.copy_(gradient.view_as(grad_input))
