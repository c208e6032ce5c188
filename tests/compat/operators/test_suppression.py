"""Non-maximum suppression, through mmcv's own Python wrappers.

The same tests hold the compiled operators and the stand-in to the same numbers.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastvit_dense  # noqa: F401  (offers mmcv._ext)
from fastvit_dense.compat import openmmlab
from fastvit_dense.errors import OperatorError

from ...facts import raises_naming
from .oracle import all_precisions, needs_stand_in, onnx_vectors

ops = pytest.importorskip('mmcv.ops')
pytestmark = pytest.mark.integration


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
    with raises_naming(OperatorError, 'nms', 'offset=1', 'offset=0', 'pip install'):
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
