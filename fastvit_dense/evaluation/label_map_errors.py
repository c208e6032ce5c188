"""Lost IoU of label maps: in missed segments, at boundaries, in confused pairs.

Every wrong pixel is of one kind, after Bernhard et al. (What's Outside the Intersection?, WACV
2024), whose boundary, extent and segment errors are taken class by class; here a pixel that one
class lacks and another has too much is of one kind for both:

- missed segments: its segment in the truth has no pixel that is right, or its segment in the
  prediction has none. A segment is what hangs together in one class, corners included.
- boundaries: of the others, those within `REACH` of the image's diagonal of true pixels of the
  class that was predicted, measured as in a square.
- confused pairs: all others.

An IoU lacks its wrong pixels over the union, so the shares sum to what mIoU lacks to 100.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .boundary import WIDTH

REACH = 0.01
SEGMENT, BOUNDARY, PAIR = range(3)
KINDS = {
    'missed segments': 'in a segment of truth or prediction that has no right pixel',
    'boundaries': 'others no farther than 1 % of the diagonal from the class predicted there',
    'confused pairs': 'all others: part of a segment that was taken for another class',
}
UNKNOWN, OUTSIDE = 65535, 65534  # labels of pixels without truth, and beyond the border
SAME_SHAPE, LEAST_SHARE = 0.8, 0.001  # of doubts: IoU of the segments, part of the image


@dataclass
class Examined:
    """Errors in one label map.

    Args:
        kinds: By `SEGMENT`, `BOUNDARY` and `PAIR`: cells of the confusion matrix (truth times
            classes plus prediction) and the wrong pixels in them.
        doubts: True class, predicted class, IoU and box of true segments that the prediction has
            in the same shape, but in another class.
    """

    kinds: list[tuple[np.ndarray, np.ndarray]]
    doubts: list[tuple[int, int, float, tuple[int, int, int, int]]]


def examine(
    predicted: np.ndarray, truth: np.ndarray, num_classes: int, ignore_index: int
) -> Examined:
    """Find the kind of every wrong pixel of one image.

    Args:
        predicted: (H, W) class indices.
        truth: (H, W); `ignore_index` where nothing is known.
        num_classes: Number of classes.
        ignore_index: Value of pixels that do not count.
    """
    predicted, truth = marked(predicted, truth, ignore_index)
    wrong = truth != predicted
    missed, made_up = without_hit(truth, wrong), without_hit(predicted, wrong)
    kinds = np.full(truth.shape, PAIR, np.uint8)
    kinds[_near_predicted(predicted, truth, wrong)] = BOUNDARY
    kinds[missed | made_up] = SEGMENT
    cells = truth.astype(np.int64) * num_classes + predicted
    return Examined(
        [_counts(cells[wrong & (kinds == kind)]) for kind in range(3)],
        list(_doubts(predicted, truth, missed)),
    )


def _counts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers that occur, ascending, and how often; faster than sorting."""
    counts = np.bincount(values)
    occurring = np.flatnonzero(counts)
    return occurring, counts[occurring]


def _occurring(labels: np.ndarray) -> list[int]:
    return _counts(labels)[0].tolist()


def marked(
    predicted: np.ndarray, truth: np.ndarray, ignore_index: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both label maps as uint16, `UNKNOWN` where the truth is."""
    known = truth != ignore_index
    unknown = np.uint16(UNKNOWN)
    return (
        np.where(known, predicted.astype(np.uint16), unknown),
        np.where(known, truth.astype(np.uint16), unknown),
    )


def without_hit(labels: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Pixels of the segments of a label map of which every pixel is wrong.

    Args:
        labels: (H, W) uint16.
        wrong: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    found = np.zeros(labels.shape, dtype=bool)
    for label in _occurring(labels[wrong]):
        window, mask = _cut_out(labels == label)
        count, parts = cv2.connectedComponents(mask, connectivity=8)
        hits = np.bincount(parts[(mask > 0) & ~wrong[window]], minlength=count)
        found[window] |= (mask > 0) & (hits == 0)[parts]
    return found


def _cut_out(mask: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
    """Window about a mask, and the mask in it as uint8."""
    as_bytes = mask.astype(np.uint8)
    left, top, width, height = cv2.boundingRect(as_bytes)
    window = slice(top, top + height), slice(left, left + width)
    return window, np.ascontiguousarray(as_bytes[window])


def _near_predicted(predicted: np.ndarray, truth: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Wrong pixels (H, W) bool with true pixels of their predicted class within `REACH`."""
    side = 2 * _pixels(REACH, truth.shape) + 1
    near = np.zeros(truth.shape, dtype=bool)
    for label in _occurring(predicted[wrong]):
        of_class = (truth == label).astype(np.uint8)
        reached = cv2.dilate(of_class, np.ones((side, side), np.uint8)) > 0
        near |= wrong & (predicted == label) & reached
    return near


def _pixels(share: float, shape: tuple[int, ...]) -> int:
    return max(1, round(share * math.hypot(*shape)))


def count_edges(predicted: np.ndarray, truth: np.ndarray, ignore_index: int) -> np.ndarray:
    """Pixels nearer to the edge of their class than `boundary.WIDTH`, which Boundary IoU counts.

    Args:
        predicted: (H, W) class indices.
        truth: (H, W); `ignore_index` where nothing is known.
        ignore_index: Value of pixels that do not count.

    Returns:
        (4, K): the classes that occur, and their pixels there that are hit, true and predicted.
    """
    predicted, truth = marked(predicted, truth, ignore_index)
    near_truth, near_predicted = (_near_edge(labels) for labels in (truth, predicted))
    kinds = (
        truth[near_truth & near_predicted & (truth == predicted)],
        truth[near_truth],
        predicted[near_predicted],
    )
    classes = np.unique(np.concatenate([kinds[1], kinds[2]]))
    classes = classes[classes != UNKNOWN]
    counts = [
        np.bincount(np.searchsorted(classes, labels[labels != UNKNOWN]), minlength=len(classes))
        for labels in kinds
    ]
    return np.stack([classes.astype(np.int64), *counts])


def _near_edge(labels: np.ndarray) -> np.ndarray:
    """Pixels (H, W) bool in whose square not all labels are the same; the border is an edge."""
    distance = _pixels(WIDTH, labels.shape)
    sides = (distance,) * 4
    padded = cv2.copyMakeBorder(labels, *sides, cv2.BORDER_CONSTANT, value=OUTSIDE)
    square = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    differ = cv2.erode(padded, square) != cv2.dilate(padded, square)
    return differ[distance:-distance, distance:-distance]


def _doubts(
    predicted: np.ndarray, truth: np.ndarray, missed: np.ndarray
) -> Iterator[tuple[int, int, float, tuple[int, int, int, int]]]:
    """True segments that were missed where the prediction has the same shape."""
    least = LEAST_SHARE * truth.size
    parts_of_class: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for label in _occurring(truth[missed]):
        (rows, columns), mask = _cut_out(missed & (truth == label))
        count, parts, numbers, _ = cv2.connectedComponentsWithStats(mask)
        for number in range(1, count):
            left, top, width, height, area = numbers[number].tolist()
            if area < least:
                continue
            inside = parts[top : top + height, left : left + width] == number
            left, top = columns.start + left, rows.start + top
            window = slice(top, top + height), slice(left, left + width)
            classes, pixels = _counts(predicted[window][inside])
            likeliest, overlap = int(classes[pixels.argmax()]), int(pixels.max())
            if overlap < SAME_SHAPE * area:
                continue
            if likeliest not in parts_of_class:
                of_class = (predicted == likeliest).astype(np.uint8)
                _, found, sizes, _ = cv2.connectedComponentsWithStats(of_class)
                parts_of_class[likeliest] = found, sizes[:, cv2.CC_STAT_AREA]
            found, sizes = parts_of_class[likeliest]
            segments, overlaps = _counts(found[window][inside])
            overlaps[segments == 0] = 0
            best = int(overlaps.argmax())
            overlap, whole = int(overlaps[best]), int(sizes[segments[best]])
            iou = overlap / (area + whole - overlap)
            if iou >= SAME_SHAPE:
                yield label, likeliest, iou, (left, top, width, height)
