"""The operators behind `mmcv.ops`, against plain formulas written here and ONNX's test vectors.

Everything runs through mmcv's own Python wrappers, so the same tests hold the compiled operators
and the stand-in to the same numbers.
"""

import importlib
import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

import fastvit_dense  # noqa: F401  (offers mmcv._ext)
from fastvit_dense import openmmlab, torchvision_ops

ops = pytest.importorskip('mmcv.ops')
pytestmark = pytest.mark.integration

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
needs_stand_in = pytest.mark.skipif(
    not openmmlab.uses_stand_in(), reason='mmcv has its own compiled operators here'
)


def precisions(compiled_on_cpu=True):
    """Devices and types; what only the stand-in does is skipped with mmcv's compiled operators."""
    cases = []
    for device in ('cpu', 'cuda'):
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            compiled = compiled_on_cpu or device == 'cuda'
            if dtype == torch.bfloat16 or (dtype == torch.float16 and device == 'cpu'):
                compiled = False
            marks = [] if compiled else [needs_stand_in]
            marks += [needs_cuda] if device == 'cuda' else []
            cases.append(pytest.param(device, dtype, marks=marks))
    return pytest.mark.parametrize(('device', 'dtype'), cases)


all_precisions = precisions()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def assert_values_and_gradients(operator, reference, inputs, device, dtype, factor=8):
    """The operator in `dtype` equals the reference in float64, as do all gradients.

    The reference gets the inputs as `dtype` rounds them. Errors are measured against the largest
    value, in `factor` times the rounding unit: results, intermediate weights and gradients round.
    """
    low = [t.to(device, dtype).requires_grad_() for t in inputs]
    high = [t.detach().cpu().double().requires_grad_() for t in low]
    output, expected = operator(*low), reference(*high)
    assert output.dtype == dtype
    assert output.shape == expected.shape
    gradient = torch.randn_like(output)
    output.backward(gradient)
    expected.backward(gradient.cpu().double())
    pairs = [('output', output, expected)]
    pairs += [
        (f'gradient {i}', a.grad, b.grad) for i, (a, b) in enumerate(zip(low, high, strict=True))
    ]
    for name, actual, wanted in pairs:
        tolerance = factor * torch.finfo(dtype).eps * max(1.0, wanted.abs().max().item())
        error = (actual.detach().cpu().double() - wanted.detach()).abs().max().item()
        assert error <= tolerance, (name, error, tolerance)


def onnx_vectors(module, operator, case):
    """Attributes, inputs and outputs of one of ONNX's published operator tests."""
    node_cases = importlib.import_module(f'onnx.backend.test.case.node.{module}')
    found = []

    def expect(node, inputs, outputs, name, **_):
        attributes = {a.name: a for a in node.attribute}
        found.append((attributes, inputs, outputs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_cases, 'expect', expect)
        getattr(getattr(node_cases, operator), case)()
    return found


# ---------------------------------------------------------------------------------------- nms


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    return intersection / union if union else 0.0


def plain_nms(boxes, scores, iou_threshold):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[i], boxes[j]) <= iou_threshold for j in kept):
            kept.append(i)
    return kept


def random_boxes(count, size=32):
    corner, extent = torch.rand(count, 2) * size, torch.rand(count, 2) * size
    return torch.cat([corner, corner + extent], dim=1)


@settings(max_examples=60, deadline=None)
@given(
    corners=st.lists(st.tuples(*[st.integers(0, 12)] * 4), max_size=24),
    # Thresholds that an IoU of such boxes meets in every precision or in none.
    threshold=st.sampled_from([0.0, 0.3001, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_nms_is_greedy_suppression(corners, threshold, seed):
    boxes = torch.tensor(corners, dtype=torch.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = torch.randperm(len(boxes), generator=torch.Generator().manual_seed(seed)).double()
    detections, kept = ops.nms(boxes.float(), scores.float(), threshold)
    assert kept.tolist() == plain_nms(boxes.tolist(), scores.tolist(), threshold)
    assert detections.shape == (len(kept), 5)
    assert torch.equal(detections[:, :4], boxes[kept].float())
    assert torch.equal(detections[:, 4], scores[kept].float())


@pytest.mark.parametrize(
    'case',
    [
        'center_point_box_format',
        'identical_boxes',
        'limit_output_size',
        'single_box',
        'suppress_by_IOU',
        'suppress_by_IOU_and_scores',
        'two_batches',
        'two_classes',
    ],
)
def test_nms_matches_onnx_vectors(case):
    pytest.importorskip('onnx')
    vectors = onnx_vectors(
        'nonmaxsuppression', 'NonMaxSuppression', f'export_nonmaxsuppression_{case}'
    )
    assert vectors
    for attributes, (boxes, scores, limit, iou_threshold, score_threshold), (expected,) in vectors:
        if 'center_point_box' in attributes and attributes['center_point_box'].i:
            boxes = np.concatenate(
                [boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], axis=-1
            )
        selected = []
        for image in range(scores.shape[0]):
            for label in range(scores.shape[1]):
                _, kept = ops.nms(
                    torch.tensor(boxes[image]),
                    torch.tensor(scores[image, label]),
                    float(iou_threshold[0]),
                    score_threshold=float(score_threshold[0]),
                    max_num=int(limit[0]),
                )
                selected += [[image, label, index] for index in kept.tolist()]
        assert selected == expected.tolist()


@all_precisions
def test_nms_in_every_precision(device, dtype):
    boxes = random_boxes(40).to(dtype)
    scores = (torch.randperm(40) / 64).to(dtype)
    _, kept = ops.nms(boxes.to(device).float(), scores.to(device).float(), 0.4)
    assert kept.device.type == device
    assert kept.tolist() == plain_nms(boxes.tolist(), scores.tolist(), 0.4)
    if openmmlab.uses_stand_in():
        _, low_precision = ops.nms(boxes.to(device), scores.to(device), 0.4)
        assert low_precision.tolist() == kept.tolist()


def test_batched_nms_keeps_classes_apart():
    boxes, scores, labels = random_boxes(60), torch.randperm(60) / 60, torch.randint(0, 3, (60,))
    detections, kept = ops.batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.3))
    expected = []
    for label in range(3):
        own = (labels == label).nonzero()[:, 0]
        expected += own[plain_nms(boxes[own].tolist(), scores[own].tolist(), 0.3)].tolist()
    assert kept.tolist() == sorted(expected, key=lambda i: -scores[i])
    assert torch.equal(detections, torch.cat([boxes, scores[:, None]], dim=1)[kept])


def test_nms_of_nothing():
    detections, kept = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert detections.shape == (0, 5)
    assert kept.shape == (0,)
    detections, kept = ops.soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert detections.shape == (0, 5)
    assert kept.shape == (0,)


@needs_stand_in
def test_nms_refuses_the_offset_it_does_not_have():
    with pytest.raises(NotImplementedError, match=r'nms: offset=1 .* only offset=0'):
        ops.nms(random_boxes(3), torch.rand(3), 0.5, offset=1)


def plain_soft_nms(boxes, scores, threshold, sigma, min_score, method):
    """Bodla et al. 2017, figure 2."""
    scores, remaining, picked = list(scores), list(range(len(boxes))), []
    while remaining:
        best = max(remaining, key=lambda i: scores[i])
        remaining.remove(best)
        picked.append((best, scores[best]))
        for i in list(remaining):
            iou = overlap(boxes[best], boxes[i])
            if method == 'gaussian':
                scores[i] *= math.exp(-iou * iou / sigma)
            elif iou >= threshold:
                scores[i] *= 1 - iou if method == 'linear' else 0
            if scores[i] < min_score:
                remaining.remove(i)
    return picked


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('count', [1, 2, 50])
def test_soft_nms(method, count):
    boxes, scores = random_boxes(count), (torch.randperm(count) + 1) / (count + 1)
    detections, kept = ops.soft_nms(boxes, scores, 0.3, sigma=0.5, min_score=0.1, method=method)
    expected = plain_soft_nms(boxes.tolist(), scores.tolist(), 0.3, 0.5, 0.1, method)
    assert kept.tolist() == [index for index, _ in expected]
    assert torch.equal(detections[:, :4], boxes[kept])
    assert detections[:, 4].tolist() == pytest.approx([score for _, score in expected], rel=1e-5)


def test_soft_nms_offset_counts_the_last_pixel():
    # Two boxes of 2 x 1 pixels that share one: IoU 1/3 by pixels, 0 by coordinates.
    boxes = torch.tensor([[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 2.0, 0.0]])
    detections, _ = ops.soft_nms(boxes, torch.tensor([0.9, 0.6]), 0.3, method='linear', offset=1)
    assert detections[:, 4].tolist() == pytest.approx([0.9, 0.4])


def test_soft_nms_keeps_the_best_however_low_and_leaves_its_inputs_alone():
    boxes, scores = random_boxes(3), torch.tensor([1e-5, 3e-5, 2e-5])
    before = boxes.clone(), scores.clone()
    detections, kept = ops.soft_nms(boxes, scores, min_score=0.5)
    assert kept.tolist() == [1]
    assert detections.shape == (1, 5)
    assert torch.equal(boxes, before[0])
    assert torch.equal(scores, before[1])


# ---------------------------------------------------------------------------------- roi_align


def bilinear(image, y, x):
    """Value of image (C, H, W) at real coordinates (y, x); cells outside count as zero."""
    y_low, x_low = torch.floor(y.detach()).long().item(), torch.floor(x.detach()).long().item()
    value = torch.zeros_like(image[:, 0, 0])
    for row in (y_low, y_low + 1):
        for column in (x_low, x_low + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                weight = (1 - (y - row).abs()) * (1 - (x - column).abs())
                value = value + weight * image[:, row, column]
    return value


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
    with pytest.raises(NotImplementedError, match=r"roi_align: pool_mode='max'"):
        ops.roi_align(torch.zeros(2, 1, 4, 4), ROIS, (2, 2), 1.0, 2, 'max', True)


@pytest.mark.parametrize('pool', [ops.RoIAlign((3, 3), 0.5, 2), ops.RoIPool((3, 3), 0.5)])
def test_pooling_without_rois(pool):
    features = torch.randn(2, 4, 6, 5, requires_grad=True)
    pooled = pool(features, torch.zeros(0, 5))
    assert pooled.shape == (0, 4, 3, 3)
    pooled.sum().backward()
    assert features.grad.abs().sum() == 0


# ----------------------------------------------------------------------------------- roi_pool


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


# --------------------------------------------------------------------------------- focal loss


def plain_focal_loss(logits, target, gamma, alpha, weight=None):
    """Lin et al. 2017, equations 4 and 5, on each class's own sigmoid."""
    p = 1 / (1 + torch.exp(-logits))
    positive = torch.zeros_like(logits)
    for row, label in enumerate(target.tolist()):
        if 0 <= label < logits.shape[1]:
            positive[row, label] = 1
    p_t = p * positive + (1 - p) * (1 - positive)
    alpha_t = alpha * positive + (1 - alpha) * (1 - positive)
    loss = -alpha_t * (1 - p_t) ** gamma * torch.log(p_t)
    return loss if weight is None else loss * weight[target][:, None]


@precisions(compiled_on_cpu=False)
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.75)])
def test_sigmoid_focal_loss(device, dtype, gamma, alpha):
    target = torch.tensor([0, 4, 5, 2, 1, 5, 3])  # 5 is background
    for reduction in ('none', 'sum'):
        assert_values_and_gradients(
            lambda x, how=reduction: ops.sigmoid_focal_loss(
                x, target.to(device), gamma, alpha, None, how
            ),
            lambda x, how=reduction: (
                plain_focal_loss(x, target, gamma, alpha)
                if how == 'none'
                else plain_focal_loss(x, target, gamma, alpha).sum()
            ),
            [torch.randn(7, 5) * 2],
            device,
            dtype,
        )


@needs_stand_in
def test_sigmoid_focal_loss_class_weights():
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    target, weight = torch.tensor([0, 1, 2, 3, 3, 0]), torch.tensor([0.5, 1.0, 2.0, 3.0]).double()
    actual = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, 'mean')
    expected = plain_focal_loss(logits, target, 2.0, 0.25, weight).sum() / 6
    assert actual.item() == pytest.approx(expected.item(), rel=1e-12)
    assert gradcheck(
        lambda x: ops.sigmoid_focal_loss(x, target, 2.0, 0.25, weight, 'sum'), (logits,)
    )


@needs_stand_in
def test_sigmoid_focal_loss_stays_finite_at_the_extremes():
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    for label in (0, 1, 3):
        loss = ops.sigmoid_focal_loss(logits, torch.tensor([label]), 0.5, 0.25, None, 'none')
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()
    assert loss[0, 0].item() == pytest.approx(0.75 * 200)  # a sure positive that is background


@needs_stand_in
def test_sigmoid_focal_loss_of_nothing():
    logits = torch.zeros(0, 5, requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.shape == (0, 5)


# --------------------------------------------------------------------- deformable convolution


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


# ------------------------------------------------------------ multi-scale deformable attention


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


# ------------------------------------------------------------------------- everything else


@needs_stand_in
def test_other_operators_name_themselves_and_the_way_out():
    with pytest.raises(NotImplementedError, match=r'"carafe_forward".*pip install --no-build'):
        ops.carafe(torch.randn(1, 4, 4, 4), torch.randn(1, 9, 8, 8), 3, 1, 2)


def test_operators_have_the_parameters_of_the_compiled_ones():
    """Number, order and names as in the bindings that mmcv ships in source."""
    bindings = Path(ops.__file__).parent / 'csrc' / 'pytorch' / 'pybind.cpp'
    if not bindings.is_file():
        pytest.skip('this mmcv ships no C++ sources')
    source = bindings.read_text()
    for name, function in torchvision_ops.OPERATORS.items():
        (definition,) = re.findall(rf'm\.def\("{name}",(.*?);', source, re.DOTALL)
        compiled = [simple(n) for n in re.findall(r'py::arg\("(\w+)"\)', definition)]
        assert [simple(n) for n in inspect.signature(function).parameters] == compiled, name


def simple(name):
    return name.replace('_', '').lower()
