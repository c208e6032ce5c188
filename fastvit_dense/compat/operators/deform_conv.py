"""Deformable convolutions."""

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .common import wide


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
    tensors = [wide(grad_output).contiguous()]
    tensors += _with_placeholders(input, weight, offset, mask, bias)
    return torch.ops.torchvision._deform_conv2d_backward(*tensors, *geometry, mask is not None)


def _with_placeholders(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> list[Tensor]:
    """The tensors that torchvision's kernels want, also where there is no mask or no bias."""
    mask = input.new_zeros(len(input), 1) if mask is None else mask
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return [wide(t).contiguous() for t in (input, weight, offset, mask, bias)]
