"""The agreement of two networks' predictions, number by number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask

from ..evaluation.masks import encode_masks

MAX_ERROR = 1e-4  # largest difference, of the rms of the expected values
MIN_LABELS = 0.999  # share of pixels with the same label
MAX_BOX_ERROR = 0.1  # pixels
MAX_SCORE_ERROR = 1e-3
MIN_MASK_IOU = 0.99
MIN_DETECTIONS = 50  # fewer say too little: then all are counted, whatever their score
# Of the detections: which of two boxes at the limit of IoU goes, or comes last, rounding decides
# (mmdet shifts each class's boxes by its number times the image's size, which costs digits).
MAX_UNMATCHED = 0.02

# name of the picture, expected and found data sample of one model's prediction
Pair = tuple[str, Any, Any]


@dataclass(frozen=True)
class Line:
    """One comparison.

    Attributes:
        what: Input and quantity.
        value: What was found.
        limit: What is allowed; None where the value is told only.
        at_least: Whether the limit is the smallest allowed value, not the largest.
    """

    what: str
    value: float
    limit: float | None
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """True where the value is within the limit; NaN never is."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        if self.limit is None:
            return f'       {self.what}: {self.value:.6g}'
        sign = '>=' if self.at_least else '<='
        verdict = 'ok' if self.passed else 'FAILED'
        return f'{verdict:6} {self.what}: {self.value:.6g} ({sign} {self.limit:g})'


def relative_error(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference, in units of the rms of the expected values; inf for another shape."""
    if expected.shape != found.shape:
        return float('inf')
    rms = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    return float(np.abs(expected.astype(np.float64) - found).max()) / max(rms, 1e-12)


def compare_arrays(
    what: str, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> Iterator[Line]:
    """Yield a line for each named array: its largest difference, of the rms of what is expected."""
    for name, array in expected.items():
        yield Line(f'{what}, {name}', relative_error(array, found[name]), MAX_ERROR)


def compare_instances(pairs: Sequence[Pair]) -> Iterator[Line]:
    """Match detections of the same label by their boxes, and compare them.

    Args:
        pairs: Of data samples with `pred_instances`.
    """
    total = matched = 0
    for name, *samples in pairs:
        expected, found = (sample.pred_instances for sample in samples)
        matches = match_boxes(expected, found)
        matched += len(matches)
        total += max(len(expected), len(found))
        if not matches:
            continue
        left, right = (list(indices) for indices in zip(*matches, strict=True))
        difference = (expected.bboxes[left] - found.bboxes[right]).abs()
        yield Line(f'{name}, boxes, pixels', float(difference.max()), MAX_BOX_ERROR)
        difference = (expected.scores[left] - found.scores[right]).abs()
        yield Line(f'{name}, scores', float(difference.max()), MAX_SCORE_ERROR)
        if 'masks' in expected:
            # mmdet's own mask head gives whole images
            one, other = encode_masks(expected.masks), encode_masks(found.masks)
            worst = min(mask_iou(one[i], other[j]) for i, j in matches)
            yield Line(f'{name}, masks, smallest IoU', worst, MIN_MASK_IOU, at_least=True)
    unmatched = (total - matched) / total if total else 0.0
    yield Line(f'share without a match of {total} detections', unmatched, MAX_UNMATCHED)
    yield Line('matched detections', matched, MIN_DETECTIONS, at_least=True)


def match_boxes(expected: Any, found: Any) -> list[tuple[int, int]]:
    """Pairs of detections with the same label and nearly the same box, each used once."""
    pairs, free = [], torch.ones(len(found), dtype=torch.bool)
    for i in range(len(expected)):
        distance = (found.bboxes - expected.bboxes[i]).abs().amax(1)
        candidates = free & (found.labels == expected.labels[i]) & (distance < 10 * MAX_BOX_ERROR)
        if candidates.any():
            distance[~candidates] = torch.inf
            j = int(distance.argmin())
            free[j] = False
            pairs.append((i, j))
    return pairs


def mask_iou(one: dict, other: dict) -> float:
    """IoU of two run-length codes; two empty masks agree."""
    if not coco_mask.area(one) and not coco_mask.area(other):
        return 1.0
    return float(coco_mask.iou([one], [other], [0])[0, 0])


def compare_label_maps(pairs: Sequence[Pair]) -> Iterator[Line]:
    """Compare logits and labels.

    Args:
        pairs: Of data samples with `seg_logits` and `pred_sem_seg`.
    """
    for name, *samples in pairs:
        one, other = (sample.seg_logits.data.numpy() for sample in samples)
        yield Line(f'{name}, logits', relative_error(one, other), MAX_ERROR)
        one, other = (sample.pred_sem_seg.data.numpy() for sample in samples)
        same = float((one == other).mean()) if one.shape == other.shape else 0.0
        yield Line(f'{name}, share of equal labels', same, MIN_LABELS, at_least=True)


def compare_elements(pairs: Sequence[Pair], field: str) -> Iterator[Line]:
    """Compare every tensor of an element of the data samples.

    Args:
        pairs: Of data samples with `field`, a data element of tensors.
        field: Name of the element, such as `pred_hand`.
    """
    for name, *samples in pairs:
        one, other = (
            {key: value.numpy() for key, value in getattr(sample, field).items()}
            for sample in samples
        )
        yield from compare_arrays(name, one, other)
