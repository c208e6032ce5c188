"""Time of the intervals of all three tasks' numbers."""

from typing import Any

import numpy as np
import torch

from fastvit_dense.evaluation.bootstrap import RESAMPLES, uncertainty
from fastvit_dense.evaluation.statistics import Confusions, Means, Statistics

from .comparing import measured
from .evaluation_coco import inputs_of_ours

THREADS = 2
CLASSES = 150
HAND_NUMBERS = 10


def time_bootstrap(images: int, detections: int, hands: int) -> dict[str, Any]:
    """Seconds of `RESAMPLES` resamples on `THREADS` threads, from statistics in memory.

    Args:
        images: Number of images, of detections and of label maps.
        detections: Number of predictions in each.
        hands: Number of hands.

    Returns:
        `threads`, `resamples`, and by kind of predictions `seconds`, `peak_mb`, `over_mb`.
    """
    found: dict[str, Any] = {'threads': THREADS, 'resamples': RESAMPLES}
    for name, prepare, sizes in (
        ('boxes', statistics_of_boxes, (images, detections)),
        ('label maps', statistics_of_label_maps, (images,)),
        ('hands', statistics_of_hands, (hands,)),
    ):
        intervals, found[name] = measured(prepare, resample, *sizes)
        found[name]['numbers'] = intervals
    return found


def statistics_of_boxes(images: int, detections: int) -> Statistics:
    """Matches of made-up detections."""
    metric, samples = inputs_of_ours('bbox', images, detections)
    return metric.score(samples).statistics


def statistics_of_label_maps(images: int) -> Statistics:
    """Pixels by class of made-up label maps."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 5000, (images, CLASSES)) * (random.random((images, CLASSES)) < 0.1)
    hits = (truth * random.random(truth.shape)).astype(np.int64)
    predicted = hits + random.permuted(truth - hits, axis=1)
    return Confusions(np.arange(images).astype(str), hits, truth, predicted)


def statistics_of_hands(hands: int) -> Statistics:
    """Made-up errors by hand."""
    random = np.random.default_rng(0)
    names = np.array([f'number {k}' for k in range(HAND_NUMBERS)])
    return Means(np.arange(hands).astype(str), names, random.random((hands, HAND_NUMBERS)))


def resample(statistics: Statistics) -> int:
    """Number of intervals, drawn on `THREADS` threads."""
    torch.set_num_threads(THREADS)
    return len(uncertainty(statistics))
