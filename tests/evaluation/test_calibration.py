"""Calibration and best thresholds: closed forms, and every threshold tried."""

import numpy as np
import pytest

from fastvit_dense.evaluation.calibration import best_threshold, calibrate
from fastvit_dense.evaluation.coco_matches import Evaluation, Matches


def evaluation(scores, hits, classes, objects):
    """One image; a pair for each class, its detections by falling score."""
    order = np.lexsort((-scores, classes))
    kinds = len(objects)
    matches = Matches(
        np.zeros(kinds, np.int64),
        np.arange(kinds),
        np.concatenate([[0], np.cumsum(np.bincount(classes, minlength=kinds))]),
        np.array(objects),
        scores[order],
        hits[order][None],
        np.zeros((1, len(scores)), bool),
    )
    empty = np.zeros((1, 101, kinds, 4, 3))
    half = np.array([0.5])
    return Evaluation(empty, empty[:, 0], half, [1, 10, 100], lambda: matches, half)


def test_expected_error_has_a_closed_form():
    """60 of 100 detections at 0.85 are right: 0.25 off; 20 of 100 at 0.15: 0.05 off."""
    scores = np.repeat([0.85, 0.15], 100)
    hits = np.concatenate([np.arange(100) < 60, np.arange(100) < 20])
    found = calibrate(evaluation(scores, hits, np.zeros(200, np.int64), [90]), ['a'])
    assert found['expected_error'] == pytest.approx(0.15)
    assert found['highest_error'] == pytest.approx(0.25)
    assert [(b['count'], round(b['precision'], 9)) for b in found['bins']] == [
        (100, 0.2),
        (100, 0.6),
    ]


def test_scores_drawn_as_often_right_as_they_say_are_calibrated():
    random = np.random.default_rng(0)
    scores = random.random(100_000)
    hits = random.random(100_000) < scores
    classes = np.zeros(len(scores), np.int64)
    assert calibrate(evaluation(scores, hits, classes, [1]), ['a'])['expected_error'] < 0.01
    wrong = calibrate(evaluation(scores**0.5, hits, classes, [1]), ['a'])['expected_error']
    assert wrong == pytest.approx(2 / 3 - 1 / 2, abs=0.01)  # mean of sqrt(u), less that of u


def test_thresholds_equal_the_best_of_all():
    random = np.random.default_rng(1)
    for _ in range(50):
        scores = random.integers(0, 8, 20) / 8
        hits = random.random(20) < scores
        objects = int(hits.sum() + random.integers(1, 9))
        found = best_threshold(scores, hits, objects)
        tried = {
            t: 2 * hits[scores >= t].sum() / ((scores >= t).sum() + objects) for t in set(scores)
        }
        assert found['f1'] == pytest.approx(max(tried.values()))
        assert tried[found['threshold']] == pytest.approx(found['f1'])


def test_without_objects_or_detections_there_is_no_threshold():
    nothing = {'threshold': None, 'f1': None}
    assert best_threshold(np.zeros(0), np.zeros(0, bool), 3) == nothing
    assert best_threshold(np.ones(1), np.zeros(1, bool), 0) == nothing


def test_scores_that_are_no_shares_have_no_calibration():
    scores, hits = np.array([1.5, 0.2]), np.array([True, False])
    assert calibrate(evaluation(scores, hits, np.zeros(2, np.int64), [1]), ['a']) is None
