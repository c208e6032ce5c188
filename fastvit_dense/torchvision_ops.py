"""The compiled operators of mmcv that dense prediction needs, written over torchvision and PyTorch.

`openmmlab.install` offers these functions as the module `mmcv._ext` where mmcv came without
compiled operators. Each has the name, the parameters and the conventions of the compiled function
that the Python wrappers in `mmcv.ops` call: forward functions fill a given `output`, backward
functions fill given `grad_*` tensors. They run on CPU and CUDA; 16-bit tensors are computed in
float32. Two of them are not torchvision's: mmcv's RoIPool keeps fractional RoI borders where
torchvision (and ONNX's MaxRoiPool) round them, and torchvision has no multi-scale deformable
attention.

Boxes are (x1, y1, x2, y2) in pixels; RoIs are (image index, x1, y1, x2, y2) in input pixels,
multiplied by `spatial_scale` to reach feature cells.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from .environment import COMPILE_MMCV

HOW_TO_COMPILE = f'install mmcv with its compiled operators: {COMPILE_MMCV}'


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou_threshold: A box goes when its IoU with a better kept box is above this.
        offset: Added to every width and height; torchvision has 0 only.

    Returns:
        Indices of the kept boxes, best first, int64.

    Raises:
        NotImplementedError: `offset` is not 0.
    """
    if offset != 0:
        raise NotImplementedError(
            f'nms: offset={offset} is not available without compiled operators, only offset=0; '
            f'set offset=0 or {HOW_TO_COMPILE}'
        )
    return torchvision.ops.nms(_wide(boxes), scores.to(_wide(boxes).dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al. 2017): overlapping boxes lose score instead of being removed.

    Args:
        boxes: (N, 4).
        scores: (N,).
        dets: (N, 5), filled with the kept boxes and their new scores in the order of selection.
        iou_threshold: Overlap at which method 0 removes and method 1 decays.
        sigma: Width of method 2.
        min_score: A box whose score falls below is dropped; the best box always stays.
        method: 0 hard NMS, 1 linear `score * (1 - iou)`, 2 gaussian `score * exp(-iou^2 / sigma)`.
        offset: Added to every width and height, 0 or 1.

    Returns:
        Indices of the kept boxes in the order of selection, int64.
    """
    remaining = torch.arange(len(boxes), device=boxes.device)
    boxes, scores = _wide(boxes), _wide(scores).clone()
    areas = _sides(boxes, offset).prod(-1)
    kept = []
    while len(remaining):
        best_position = scores[remaining].argmax()
        best = remaining[best_position]
        dets[len(kept), :4], dets[len(kept), 4] = boxes[best], scores[best]
        kept.append(best)
        remaining = remaining[torch.arange(len(remaining), device=best.device) != best_position]

        corners = torch.cat(
            [
                torch.maximum(boxes[best, :2], boxes[remaining, :2]),
                torch.minimum(boxes[best, 2:], boxes[remaining, 2:]),
            ],
            dim=1,
        )
        overlap = _sides(corners, offset).clamp(min=0).prod(-1)
        iou = overlap / (areas[best] + areas[remaining] - overlap)
        if method == 0:
            weight = (~(iou >= iou_threshold)).to(iou)
        elif method == 1:
            weight = torch.where(iou >= iou_threshold, 1 - iou, 1.0)
        else:
            weight = torch.exp(-(iou**2) / sigma)
        scores[remaining] *= weight
        remaining = remaining[~(scores[remaining] < min_score)]
    return torch.stack(kept) if kept else remaining


def _sides(boxes: Tensor, offset: int) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2] + offset


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
        NotImplementedError: `pool_mode` is not 1.
    """
    _refuse_max_pooling(pool_mode)
    output.copy_(
        torch.ops.torchvision.roi_align(
            _wide(input),
            rois.to(_wide(input).dtype),
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
    grad = _wide(grad_output)
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
        raise NotImplementedError(
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
    rois = _wide(rois)
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
    gradient = _wide(grad_input).new_zeros(batch, channels, height * width)
    cell = argmax.flatten(2).long()
    image_index = rois[:, 0].long()[:, None, None].expand_as(cell)
    channel = torch.arange(channels, device=rois.device)[:, None].expand_as(cell)
    gradient.index_put_(
        (image_index, channel, cell.clamp(min=0)),
        _wide(grad_output).flatten(2).masked_fill(cell < 0, 0),
        accumulate=True,
    )
    grad_input.copy_(gradient.view_as(grad_input))


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al. 2017, equation 5) of every logit.

    Args:
        input: (N, C) logits.
        target: (N,) class indices; any value outside 0..C-1 is background.
        weight: (C,) factor of each target class, or empty: none.
        output: (N, C), filled.
        gamma: Exponent that quiets easy examples.
        alpha: Weight of positives; negatives have 1 - alpha.
    """
    logits, positive, factor = _focal_loss_terms(input, target, weight)
    loss_positive = -alpha * torch.sigmoid(-logits) ** gamma * F.logsigmoid(logits)
    loss_negative = -(1 - alpha) * torch.sigmoid(logits) ** gamma * F.logsigmoid(-logits)
    output.copy_(torch.where(positive, loss_positive, loss_negative) * factor)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of every value of `sigmoid_focal_loss_forward` by its own logit."""
    logits, positive, factor = _focal_loss_terms(input, target, weight)
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    slope_positive = -alpha * q**gamma * (q - gamma * p * F.logsigmoid(logits))
    slope_negative = (1 - alpha) * p**gamma * (p - gamma * q * F.logsigmoid(-logits))
    grad_input.copy_(torch.where(positive, slope_positive, slope_negative) * factor)


def _focal_loss_terms(
    input: Tensor, target: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor | float]:
    classes = torch.arange(input.shape[1], device=input.device)
    factor = _wide(weight)[target][:, None] if weight.numel() else 1.0
    return _wide(input), target[:, None] == classes, factor


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Deformable convolution (Dai et al. 2017).

    Args:
        input: (B, C, H, W).
        weight: (C_out, C / group, kH, kW).
        offset: (B, 2 * deformable_group * kH * kW, H_out, W_out), pairs (y, x) per kernel cell.
        output: (B, C_out, H_out, W_out), filled.
        columns: Unused scratch space of the compiled function, like `ones`.
        ones: See `columns`.
        kW: Kernel width, then kernel height, stride, padding and dilation along x and y.
        kH: See `kW`.
        dW: See `kW`.
        dH: See `kW`.
        padW: See `kW`.
        padH: See `kW`.
        dilationW: See `kW`.
        dilationH: See `kW`.
        group: Groups of the convolution.
        deformable_group: Channel groups that share offsets.
        im2col_step: Unused: images that the compiled function unfolds at a time.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_deformable(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Gradients of `deform_conv_forward`, written into `grad_input` and `grad_offset`."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _deformable_backward(grad_output, input, weight, offset, None, None, geometry)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Gradient of `deform_conv_forward` by its weight, `scale` times, added to `grad_weight`."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    weight = torch.zeros_like(grad_weight)
    grads = _deformable_backward(grad_output, input, weight, offset, None, None, geometry)
    grad_weight.add_(grads[1], alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Modulated deformable convolution (Zhu et al. 2019): each sample also has a weight.

    Args:
        input: (B, C, H, W).
        weight: (C_out, C / group, kernel_h, kernel_w).
        bias: (C_out,), or empty without bias.
        ones: Unused scratch space of the compiled function, like `columns`.
        offset: (B, 2 * deformable_group * kernel_h * kernel_w, H_out, W_out), pairs (y, x).
        mask: (B, deformable_group * kernel_h * kernel_w, H_out, W_out).
        output: (B, C_out, H_out, W_out), filled.
        columns: See `ones`.
        kernel_h: Kernel height.
        kernel_w: Kernel width.
        stride_h: Stride along y.
        stride_w: Stride along x.
        pad_h: Zero padding along y.
        pad_w: Zero padding along x.
        dilation_h: Dilation along y.
        dilation_w: Dilation along x.
        group: Groups of the convolution.
        deformable_group: Channel groups that share offsets.
        with_bias: Whether `bias` is added.
    """
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    output.copy_(_deformable(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Gradients of `modulated_deform_conv_forward`, written into the `grad_*` tensors."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    used_bias = bias if with_bias else None
    grads = _deformable_backward(grad_output, input, weight, offset, mask, used_bias, geometry)
    destinations = [grad_input, grad_weight, grad_offset, grad_mask]
    if with_bias:
        destinations.append(grad_bias)
    for destination, gradient in zip(destinations, grads, strict=False):
        destination.copy_(gradient)


def _deformable(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: tuple[int, ...],
) -> Tensor:
    tensors = _with_placeholders(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, mask is not None)


def _deformable_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """Gradients by input, weight, offset, mask and bias."""
    tensors = [_wide(grad_output).contiguous()]
    tensors += _with_placeholders(input, weight, offset, mask, bias)
    return torch.ops.torchvision._deform_conv2d_backward(*tensors, *geometry, mask is not None)


def _with_placeholders(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> list[Tensor]:
    """The tensors that torchvision's kernels want, also where there is no mask or no bias."""
    mask = input.new_zeros(len(input), 1) if mask is None else mask
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return [_wide(t).contiguous() for t in (input, weight, offset, mask, bias)]


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Multi-scale deformable attention (Zhu et al. 2021, equation 3), without its projections.

    Args:
        value: (B, sum of H_l * W_l, heads, D), the levels one after another, each row by row.
        value_spatial_shapes: (L, 2), (H_l, W_l).
        value_level_start_index: (L,), where each level begins in `value`.
        sampling_locations: (B, Q, heads, L, P, 2), (x, y) with 0 to 1 across the level; samples
            outside count as zeros.
        attention_weights: (B, Q, heads, L, P).
        im2col_step: Unused: images that the compiled function takes at a time.

    Returns:
        (B, Q, heads * D).
    """
    batch, _, heads, dimension = value.shape
    queries, points = sampling_locations.shape[1], sampling_locations.shape[4]
    levels = zip(value_level_start_index.tolist(), value_spatial_shapes.tolist(), strict=True)
    samples = []
    for level, (start, (height, width)) in enumerate(levels):
        image = value[:, start : start + height * width].permute(0, 2, 3, 1)
        image = image.reshape(batch * heads, dimension, height, width)
        grid = 2 * sampling_locations[:, :, :, level] - 1
        grid = grid.transpose(1, 2).reshape(batch * heads, queries, points, 2)
        samples.append(F.grid_sample(image, grid, align_corners=False))
    weights = attention_weights.transpose(1, 2).flatten(3).flatten(0, 1)[:, None]
    attended = (torch.cat(samples, dim=-1) * weights).sum(-1)
    return attended.view(batch, heads * dimension, queries).transpose(1, 2).contiguous()


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Gradients of `ms_deform_attn_forward`, written into the three `grad_*` tensors."""
    with torch.enable_grad():
        inputs = [
            _wide(t.detach()).requires_grad_()
            for t in (value, sampling_locations, attention_weights)
        ]
        output = ms_deform_attn_forward(
            inputs[0],
            value_spatial_shapes,
            value_level_start_index,
            inputs[1],
            inputs[2],
            im2col_step,
        )
        gradients = torch.autograd.grad(output, inputs, _wide(grad_output))
    for destination, gradient in zip(
        (grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True
    ):
        destination.copy_(gradient)


def get_compiler_version() -> str:
    """What mmengine's environment report prints for mmcv's compiler."""
    return f'none (operators from torchvision {torchvision.__version__})'


def get_compiling_cuda_version() -> str:
    """What mmengine's environment report prints for the CUDA that compiled mmcv."""
    return 'none'


def missing_operator(name: str) -> Callable[..., None]:
    """A stand-in for an operator that has no replacement here.

    Args:
        name: The operator's name in `mmcv._ext`.

    Returns:
        A function that raises NotImplementedError naming the operator and the way to get it.
    """

    def operator(*args: object, **kwargs: object) -> None:
        raise NotImplementedError(
            f'mmcv operator "{name}" is not available without compiled operators; {HOW_TO_COMPILE}'
        )

    operator.__name__ = name
    return operator


def _wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it has 16 bits: not every kernel of torchvision takes those."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


OPERATORS = {
    function.__name__: function
    for function in (
        nms,
        softnms,
        roi_align_forward,
        roi_align_backward,
        roi_pool_forward,
        roi_pool_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        deform_conv_forward,
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        modulated_deform_conv_forward,
        modulated_deform_conv_backward,
        ms_deform_attn_forward,
        ms_deform_attn_backward,
        get_compiler_version,
        get_compiling_cuda_version,
    )
}
