"""Deformable convolutions, through mmcv's own Python wrappers.

The same tests hold the compiled operators and the stand-in to the same numbers.
"""

import numpy as np
import pytest
import torch

import fastvit_dense  # noqa: F401  (offers mmcv._ext)

from .oracle import all_precisions, assert_values_and_gradients, bilinear, onnx_vectors

ops = pytest.importorskip('mmcv.ops')
pytestmark = pytest.mark.integration


def plain_deform_conv(
    x, offset, weight, mask=None, bias=None, *, stride, padding, dilation, groups
):
    """Dai et al. 2017, equation 2 (with Zhu et al. 2019, equation 1, for the mask)."""
    batch, _, out_height, out_width = offset.shape
    out_channels, group_channels, kernel_height, kernel_width = weight.shape
    deform_groups = offset.shape[1] // (2 * kernel_height * kernel_width)
    per_offset_group = x.shape[1] // deform_groups
    rows = []
    for b in range(batch):
        for oy in range(out_height):
            for ox in range(out_width):
                cells = []
                for k in range(kernel_height * kernel_width):
                    ky, kx = divmod(k, kernel_width)
                    column = []
                    for g in range(deform_groups):
                        at = 2 * (g * kernel_height * kernel_width + k)
                        y = oy * stride[0] - padding[0] + ky * dilation[0] + offset[b, at, oy, ox]
                        z = ox * stride[1] - padding[1] + kx * dilation[1]
                        z = z + offset[b, at + 1, oy, ox]
                        channels = slice(g * per_offset_group, (g + 1) * per_offset_group)
                        value = bilinear(x[b, channels], y, z)
                        column.append(value if mask is None else value * mask[b, at // 2, oy, ox])
                    cells.append(torch.cat(column))
                samples = torch.stack(cells, dim=-1)  # (C, kernel cells)
                grouped = samples.view(groups, group_channels, -1)
                kernels = weight.view(groups, out_channels // groups, group_channels, -1)
                rows.append(torch.einsum('gck,gock->go', grouped, kernels).flatten())
    output = torch.stack(rows).view(batch, out_height, out_width, -1).permute(0, 3, 1, 2)
    return output if bias is None else output + bias[:, None, None]


GEOMETRIES = [
    dict(stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1),
    dict(stride=(2, 1), padding=(0, 2), dilation=(1, 2), groups=2),
]


def deformable_inputs(geometry, deform_groups=2):
    """Input (2, 4, 5, 6), 3 x 2 kernels, 6 output channels."""
    kernel, size = (3, 2), (5, 6)
    out = [
        (size[d] + 2 * geometry['padding'][d] - geometry['dilation'][d] * (kernel[d] - 1) - 1)
        // geometry['stride'][d]
        + 1
        for d in range(2)
    ]
    cells = deform_groups * 6
    # Quarters away from whole cells, where the interpolation has no kink, in any precision.
    offset = torch.randint(-6, 6, (2, 2 * cells, *out)) / 2 + 0.25
    weight = torch.randn(6, 4 // geometry['groups'], *kernel)
    return torch.randn(2, 4, *size), offset, torch.rand(2, cells, *out), weight, torch.randn(6)


@all_precisions
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_deform_conv(device, dtype, geometry):
    x, offset, _, weight, _ = deformable_inputs(geometry)
    assert_values_and_gradients(
        lambda x, o, w: ops.deform_conv2d(x, o, w, *geometry.values(), 2),
        lambda x, o, w: plain_deform_conv(x, o, w, **geometry),
        [x, offset, weight],
        device,
        dtype,
        factor=16,
    )


@all_precisions
@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('with_bias', [True, False])
def test_modulated_deform_conv(device, dtype, geometry, with_bias):
    inputs = list(deformable_inputs(geometry))[: 5 if with_bias else 4]
    assert_values_and_gradients(
        lambda x, o, m, w, b=None: ops.modulated_deform_conv2d(
            x, o, m, w, b, *geometry.values(), 2
        ),
        lambda x, o, m, w, b=None: plain_deform_conv(x, o, w, m, b, **geometry),
        inputs,
        device,
        dtype,
        factor=16,
    )


@pytest.mark.parametrize(
    'case',
    ['export', 'export_deformconv_with_mask_bias', 'export_deformconv_with_multiple_offset_groups'],
)
def test_deform_conv_matches_onnx_vectors(case):
    pytest.importorskip('onnx')
    vectors = onnx_vectors('deformconv', 'DeformConv', case)
    assert vectors
    for attributes, (x, weight, offset, *mask_and_bias), (expected,) in vectors:
        x, weight, offset = (torch.tensor(t) for t in (x, weight, offset))
        pads = list(attributes['pads'].ints) if 'pads' in attributes else [0, 0, 0, 0]
        assert pads[:2] == pads[2:]
        offset_groups = attributes['offset_group'].i if 'offset_group' in attributes else 1
        geometry = (1, pads[:2], 1, 1, offset_groups)
        if mask_and_bias:
            bias, mask = (torch.tensor(t) for t in mask_and_bias)
            output = ops.modulated_deform_conv2d(x, offset, mask, weight, bias, *geometry)
        else:
            output = ops.deform_conv2d(x, offset, weight, *geometry)
        np.testing.assert_allclose(output.numpy(), expected, atol=1e-5)


def test_deform_conv_layers_train():
    """mmcv's layers, as configs name them (DCN, DCNv2), equal a convolution while offsets are 0."""
    x = torch.randn(2, 4, 7, 5)
    for layer in (
        ops.DeformConv2dPack(4, 6, 3, padding=1),
        ops.ModulatedDeformConv2dPack(4, 6, 3, padding=1),
    ):
        factor = 1.0 if isinstance(layer, ops.DeformConv2dPack) else 0.5  # sigmoid(0) as the mask
        expected = torch.nn.functional.conv2d(x, layer.weight * factor, padding=1)
        output = layer(x)
        assert torch.allclose(output, expected, atol=1e-5)
        output.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
        assert layer.conv_offset.weight.grad.abs().sum() > 0
