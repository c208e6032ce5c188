"""What is told of predicted boxes that are written in another way than they are scored."""

import json

import numpy as np
import pytest

from fastvit_dense.evaluation import InstanceMetric, evaluate_predictions
from fastvit_dense.evaluation.box_hints import hints_at
from tests.facts import assert_names

from .test_instance import small_truth, write


@pytest.fixture
def metric(tmp_path):
    return InstanceMetric(write(tmp_path / 'truth.json', small_truth()), metric='bbox')


def samples(boxes, scores=None):
    boxes = np.array(boxes, float).reshape(-1, 4)
    scores = np.linspace(0, 1, len(boxes)) if scores is None else np.array(scores, float)
    return [{'id': 1, 'boxes': boxes, 'scores': scores, 'labels': np.zeros(len(boxes), int)}]


SOUND = [[10, 10, 20, 20], [40, 20, 30, 30], [0, 0, 80, 60]]


@pytest.mark.parametrize(
    ('found', 'facts'),
    [
        (samples(SOUND), []),
        (samples([]), []),
        (samples([*SOUND, [70, 50, 11, 11]]), []),  # a little outside
        (samples([*SOUND, [5, 5, 0, 0]]), []),
        (samples(SOUND, [0.5, 95, 3]), ['2 of 3', 'scores', 0, 1, 95]),
        (samples(SOUND, [-1, 0, 1]), ['1 of 3', 'scores', -1]),
        (samples([[x, y, x + w, y + h] for x, y, w, h in SOUND]), ['boxes', 'right, bottom']),
        (samples([[0.1, 0.2, 0.3, 0.3], [0.5, 0.5, 0.1, 0.4]]), ['pixel', 'shares']),
        (samples([[1e300, 1e300, 1e300, 1e300]]), ['1 of 1', 'outside']),
        (samples(SOUND * 2, [0.5, 0.6, 0.7] * 2), ['3 of 6', 'twice']),
    ],
)
def test_hints(metric, found, facts):
    hints = hints_at(found, metric.truth)
    assert len(hints) == bool(facts)
    if facts:
        assert_names(hints[0], *facts)


def test_hints_are_told_and_ids_of_another_type_are_read(metric, tmp_path, logged):
    entry = {'image_id': 1.0, 'category_id': 3.0, 'score': 95, 'bbox': [10, 10, 20, 20]}
    (tmp_path / 'instances.json').write_text(json.dumps([entry]))
    evaluate_predictions(metric, tmp_path / 'instances.json')
    assert any('instances.json: 1 of 1 scores are not within' in message for message in logged)
