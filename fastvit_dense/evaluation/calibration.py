"""Calibration, the trust that scores deserve, and the score threshold that is best for a class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hotcoco.metrics import calibration_curve, calibration_error

from .coco_matches import Evaluation

BINS = 10


def calibrate(found: Evaluation, names: Sequence[str]) -> dict[str, Any] | None:
    """Calibration of detections at IoU 0.5, and the thresholds of the best F1.

    The expected calibration error (Naeini et al., AAAI 2015) is the mean distance of scores and
    precision in `BINS` equal bins, weighted by the detections there. Crowds do not count.

    Args:
        found: One kind of overlap.
        names: Of the categories, ascending by id.

    Returns:
        `expected_error` and `highest_error`, 0-1; `bins`: `confidence` and `precision`, their
        means in each bin that is not empty, and `count`; `thresholds`: of each class `name`,
        `threshold` and `f1`, None without objects or detections. None where scores are no
        shares of 0-1, or there is no detection.
    """
    matches = found.matches
    at_half = int(np.flatnonzero(found.match_thresholds == 0.5)[0])
    counted = ~matches.ignored[at_half]
    scores, hits = matches.scores[counted], matches.matched[at_half, counted]
    if not len(scores) or scores.min() < 0 or scores.max() > 1:
        return None
    expected, highest = calibration_error(scores, hits, BINS)
    classes = matches.categories[matches.pairs][counted]
    objects = np.bincount(matches.categories, matches.objects, len(names))
    return {
        'expected_error': expected,
        'highest_error': highest,
        'bins': [
            {
                'confidence': entry['avg_confidence'],
                'precision': entry['avg_accuracy'],
                'count': entry['count'],
            }
            for entry in calibration_curve(scores, hits, BINS)
            if entry['count']
        ],
        'thresholds': [
            {'name': name} | best_threshold(scores[classes == k], hits[classes == k], objects[k])
            for k, name in enumerate(names)
        ],
    }


def best_threshold(scores: np.ndarray, hits: np.ndarray, objects: float) -> dict[str, Any]:
    """The score from which on detections have the best F1, the highest such.

    Args:
        scores: (D,).
        hits: (D,) bool.
        objects: Number of objects.

    Returns:
        `threshold` and `f1`; None where there are no objects or no detections.
    """
    if not len(scores) or not objects:
        return {'threshold': None, 'f1': None}
    order = np.argsort(-scores, kind='stable')
    scores = scores[order]
    f1 = 2 * np.cumsum(hits[order]) / (np.arange(1, len(scores) + 1) + objects)
    f1[:-1][scores[1:] == scores[:-1]] = -1  # a threshold parts no equal scores
    best = int(f1.argmax())
    return {'threshold': float(scores[best]), 'f1': float(f1[best])}
