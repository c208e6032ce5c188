"""Multi-scale deformable attention, through mmcv's own Python wrappers.

The same tests hold the compiled operators and the stand-in to the same numbers.
"""

import importlib

import pytest
import torch

import fastvit_dense  # noqa: F401  (offers mmcv._ext)

from .oracle import assert_values_and_gradients, bilinear, needs_stand_in, precisions

ops = pytest.importorskip('mmcv.ops')
pytestmark = pytest.mark.integration


def plain_ms_deform_attn(value, locations, weights, shapes):
    """Zhu et al. 2021, equation 3: sum over levels and points of weight times sampled value."""
    batch, queries, heads, levels, points, _ = locations.shape
    rows = []
    for b in range(batch):
        for q in range(queries):
            for h in range(heads):
                total, start = 0, 0
                for level in range(levels):
                    height, width = shapes[level]
                    image = value[b, start : start + height * width, h].T.view(-1, height, width)
                    start += height * width
                    for p in range(points):
                        x, y = locations[b, q, h, level, p]
                        sample = bilinear(image, y * height - 0.5, x * width - 0.5)
                        total = total + weights[b, q, h, level, p] * sample
                rows.append(total)
    return torch.stack(rows).view(batch, queries, -1)


def apply_ms_deform_attn(value, locations, weights, shapes):
    function = importlib.import_module('mmcv.ops.multi_scale_deform_attn')
    sizes = torch.tensor(shapes, device=value.device)
    starts = torch.cat([sizes.new_zeros(1), sizes.prod(1).cumsum(0)[:-1]])
    return function.MultiScaleDeformableAttnFunction.apply(
        value, sizes, starts, locations, weights, 64
    )


@precisions(compiled_on_cpu=False)
@pytest.mark.parametrize(('shapes', 'queries'), [([(5, 3), (2, 4)], 3), ([(1, 1)], 1)])
def test_ms_deform_attn(device, dtype, shapes, queries):
    cells = sum(height * width for height, width in shapes)
    locations = torch.randint(-8, 72, (2, queries, 2, len(shapes), 3, 2)) / 64 + 1 / 128
    assert_values_and_gradients(
        lambda v, s, w: apply_ms_deform_attn(v, s, w, shapes),
        lambda v, s, w: plain_ms_deform_attn(v, s, w, shapes),
        [torch.randn(2, cells, 2, 4), locations, torch.rand(2, queries, 2, len(shapes), 3)],
        device,
        dtype,
        # Sample positions round to cells * eps where they are computed in 16 bits.
        factor=64 if dtype.itemsize == 2 else 32,
    )


@needs_stand_in
def test_ms_deform_attn_without_queries():
    value = torch.randn(1, 15, 2, 4, requires_grad=True)
    output = apply_ms_deform_attn(
        value, torch.zeros(1, 0, 2, 1, 3, 2), torch.zeros(1, 0, 2, 1, 3), [(5, 3)]
    )
    assert output.shape == (1, 0, 8)
    output.sum().backward()
    assert value.grad.abs().sum() == 0
