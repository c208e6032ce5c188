"""RoIAlign and RoIPool, through mmcv's own Python wrappers.

The same tests hold the compiled operators and the stand-in to the same numbers.
"""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

import fastvit_dense  # noqa: F401  (offers mmcv._ext)
from fastvit_dense.errors import OperatorError

from ...facts import raises_naming
from .oracle import (
    all_precisions,
    assert_values_and_gradients,
    bilinear,
    needs_stand_in,
    onnx_vectors,
)

ops = pytest.importorskip('mmcv.ops')
pytestmark = pytest.mark.integration


def plain_roi_align(features, rois, size, scale, samples, aligned):
    """He et al. 2017, section 3; beyond the border the edge is repeated for one cell."""
    height, width = features.shape[-2:]
    pooled = []
    for image, *box in rois.tolist():
        x1, y1, x2, y2 = (c * scale - (0.5 if aligned else 0.0) for c in box)
        roi_width, roi_height = x2 - x1, y2 - y1
        if not aligned:
            roi_width, roi_height = max(roi_width, 1.0), max(roi_height, 1.0)
        bin_height, bin_width = roi_height / size[0], roi_width / size[1]
        rows = samples or math.ceil(bin_height)
        columns = samples or math.ceil(bin_width)
        for i in range(size[0]):
            for j in range(size[1]):
                total = torch.zeros_like(features[0, :, 0, 0])
                for r in range(rows):
                    for c in range(columns):
                        y = y1 + bin_height * (i + (r + 0.5) / rows)
                        x = x1 + bin_width * (j + (c + 0.5) / columns)
                        if -1 <= y <= height and -1 <= x <= width:
                            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                            point = torch.tensor([y, x], dtype=torch.float64)
                            total = total + bilinear(features[int(image)], *point)
                pooled.append(total / max(rows * columns, 1))
    channels = features.shape[1]
    return torch.stack(pooled).view(len(rois), *size, channels).permute(0, 3, 1, 2)


# Coordinates that every precision holds exactly, so that rounding cannot move a sample.
ROIS = torch.tensor(
    [
        [0.0, 1.0, 2.0, 13.5, 9.25],
        [1.0, -3.0, -2.5, 5.0, 4.0],  # leaves the image
        [1.0, 6.0, 7.0, 40.0, 30.0],
        [0.0, 4.0, 4.0, 4.0, 4.0],  # a point
    ]
)


@all_precisions
@pytest.mark.parametrize(
    ('size', 'scale', 'samples', 'aligned'),
    [((3, 2), 0.5, 2, True), ((2, 3), 0.25, 0, True), ((1, 1), 1.0, 3, False)],
)
def test_roi_align(device, dtype, size, scale, samples, aligned):
    assert_values_and_gradients(
        lambda x: ops.roi_align(x, ROIS.to(device, dtype), size, scale, samples, 'avg', aligned),
        lambda x: plain_roi_align(x, ROIS, size, scale, samples, aligned),
        [torch.randn(2, 3, 11, 17)],
        device,
        dtype,
    )


@pytest.mark.parametrize(
    ('case', 'aligned'),
    [('export_roialign_aligned_true', True), ('export_roialign_aligned_false', False)],
)
def test_roi_align_matches_onnx_vectors(case, aligned):
    pytest.importorskip('onnx')
    ((attributes, (features, boxes, images), (expected,)),) = onnx_vectors(
        'roialign', 'RoiAlign', case
    )
    rois = torch.cat([torch.tensor(images)[:, None].float(), torch.tensor(boxes)], dim=1)
    pooled = ops.roi_align(
        torch.tensor(features),
        rois,
        (attributes['output_height'].i, attributes['output_width'].i),
        attributes['spatial_scale'].f,
        attributes['sampling_ratio'].i,
        'avg',
        aligned,
    )
    np.testing.assert_allclose(pooled.numpy(), expected, atol=1e-4)  # published with 4 digits


@pytest.mark.parametrize('aligned', [True, False])
def test_roi_align_gradcheck(aligned):
    features = torch.randn(2, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    assert gradcheck(
        lambda x: ops.roi_align(x, ROIS.double(), (2, 3), 0.5, 2, 'avg', aligned), (features,)
    )


def test_roi_align_under_autocast():
    layer = ops.RoIAlign((2, 2), 0.5, 2)
    features = torch.randn(2, 3, 11, 17).bfloat16().requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        pooled = layer(features, ROIS)
    pooled.float().sum().backward()
    expected = layer(features.detach().float(), ROIS)
    assert (pooled.float() - expected).abs().max() < 0.02
    assert features.grad.isfinite().all()


@needs_stand_in
def test_roi_align_refuses_max_pooling():
    with raises_naming(OperatorError, 'roi_align', "pool_mode='max'", 'avg', 'pip install'):
        ops.roi_align(torch.zeros(2, 1, 4, 4), ROIS, (2, 2), 1.0, 2, 'max', True)


@pytest.mark.parametrize('pool', [ops.RoIAlign((3, 3), 0.5, 2), ops.RoIPool((3, 3), 0.5)])
def test_pooling_without_rois(pool):
    features = torch.randn(2, 4, 6, 5, requires_grad=True)
    pooled = pool(features, torch.zeros(0, 5))
    assert pooled.shape == (0, 4, 3, 3)
    pooled.sum().backward()
    assert features.grad.abs().sum() == 0


def plain_roi_pool(features, rois, size, scale):
    height, width = features.shape[-2:]
    pooled = []
    for image, x1, y1, x2, y2 in rois.tolist():
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        bin_height, bin_width = (y2 - y1) / size[0], (x2 - x1) / size[1]
        for i in range(size[0]):
            for j in range(size[1]):
                top, bottom = math.floor(y1 + i * bin_height), math.ceil(y1 + (i + 1) * bin_height)
                left, right = math.floor(x1 + j * bin_width), math.ceil(x1 + (j + 1) * bin_width)
                window = features[
                    int(image),
                    :,
                    min(max(top, 0), height) : min(max(bottom, 0), height),
                    min(max(left, 0), width) : min(max(right, 0), width),
                ].flatten(1)
                if window.shape[1] and bin_height > 0 and bin_width > 0:
                    pooled.append(window.max(1).values)
                else:
                    pooled.append(features.new_zeros(features.shape[1]))
    return torch.stack(pooled).view(len(rois), *size, -1).permute(0, 3, 1, 2)


@all_precisions
@pytest.mark.parametrize(('size', 'scale'), [((3, 2), 0.5), ((1, 4), 0.25), ((2, 2), 1.0)])
def test_roi_pool(device, dtype, size, scale):
    rois = torch.cat([ROIS, torch.tensor([[0.0, 9.0, 9.0, 3.0, 3.0], [1.0, 90, 90, 99, 99]])])
    values = torch.randperm(2 * 3 * 11 * 17).view(2, 3, 11, 17) / 2048  # no ties in any precision
    values = (
        values if dtype.itemsize > 2 else torch.randperm(187).view(1, 1, 11, 17).repeat(2, 3, 1, 1)
    )
    assert_values_and_gradients(
        lambda x: ops.roi_pool(x, rois.to(device, dtype), size, scale),
        lambda x: plain_roi_pool(x, rois, size, scale),
        [values],
        device,
        dtype,
    )


def test_roi_pool_matches_onnx_max_roi_pool_where_borders_are_whole_cells():
    """ONNX rounds RoI borders, mmcv does not: on whole cells at scale 1 they agree."""
    onnx = pytest.importorskip('onnx')
    onnxruntime = pytest.importorskip('onnxruntime')
    node = onnx.helper.make_node('MaxRoiPool', ['x', 'rois'], ['y'], pooled_shape=(3, 2))
    values = [onnx.helper.make_tensor_value_info(n, 1, None) for n in ('x', 'rois', 'y')]
    graph = onnx.helper.make_graph([node], 'pool', values[:2], values[2:])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    features = torch.randn(2, 3, 11, 17)
    corner = torch.stack([torch.randint(0, 15, (20,)), torch.randint(0, 9, (20,))], dim=1)
    extent = torch.randint(0, 9, (20, 2))
    rois = torch.cat([torch.randint(0, 2, (20, 1)), corner, corner + extent], dim=1).float()
    (expected,) = session.run(None, {'x': features.numpy(), 'rois': rois.numpy()})
    np.testing.assert_array_equal(ops.roi_pool(features, rois, (3, 2), 1.0).numpy(), expected)
