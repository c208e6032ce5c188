"""Multi-scale deformable attention."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import wide


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
            wide(t.detach()).requires_grad_()
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
        gradients = torch.autograd.grad(output, inputs, wide(grad_output))
    for destination, gradient in zip(
        (grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True
    ):
        destination.copy_(gradient)
