"""Matches of single detections against hotcoco's public ones, and the numbers that follow."""

import json

import hotcoco
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fastvit_dense.evaluation import InstanceMetric
from fastvit_dense.evaluation.boundary import evaluate_boundaries
from fastvit_dense.evaluation.coco import indexed
from fastvit_dense.evaluation.coco_matches import (
    RECALLS,
    THRESHOLDS,
    Evaluation,
    Matches,
    read_state,
)
from fastvit_dense.evaluation.coco_matching import evaluate
from fastvit_dense.evaluation.coco_scores import image_scores
from fastvit_dense.evaluation.predictions import coco_samples

from .coco_sets import coco_sets


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(coco_sets())
def test_matches_are_those_that_hotcoco_tells_by_image(generated):
    truth, entries = generated
    index, ids = indexed(truth), sorted(category['id'] for category in truth['categories'])
    samples = coco_samples(entries, 'p.json', index, ids)
    found = evaluate(index, samples, 'bbox', ids, [1, 10, 100], THRESHOLDS).matches

    true = hotcoco.COCO(truth)
    rows = [[e['image_id'], *e['bbox'], e['score'], e['category_id']] for e in entries]
    evaluator = hotcoco.COCOeval(true, true.load_res(np.reshape(rows, (-1, 7))), 'bbox')
    evaluator.evaluate()
    cells = [c for c in evaluator.eval_imgs if c and c['aRng'] == [0, 1e10]]
    images = sorted(image['id'] for image in truth['images'])
    by_pair = {(images.index(c['image_id']), ids.index(c['category_id'])): c for c in cells}
    pairs = list(zip(found.images.tolist(), found.categories.tolist(), strict=True))
    assert sorted(pairs) == sorted(by_pair)
    for place, pair in enumerate(pairs):
        cell, part = by_pair[pair], slice(*found.starts[place : place + 2])
        assert found.objects[place] == sum(not ignored for ignored in cell['gtIgnore'])
        assert found.scores[part].tolist() == cell['dtScores']
        count = len(cell['dtScores'])
        for name, kind in (('dtMatched', found.matched), ('dtIgnore', found.ignored)):
            expected = np.reshape(cell[name], (len(THRESHOLDS), count)).astype(bool)
            np.testing.assert_array_equal(kind[:, part], expected)


def average_precision(matches, categories):
    """Mean over thresholds and categories, straight from COCO's definition."""
    values = []
    of_detection = matches.categories[matches.pairs]
    for k in range(categories):
        objects = matches.objects[matches.categories == k].sum()
        chosen = np.flatnonzero(of_detection == k)
        chosen = chosen[np.argsort(-matches.scores[chosen], kind='stable')]
        for matched, ignored in zip(matches.matched, matches.ignored, strict=True):
            hits = matched[chosen][~ignored[chosen]].cumsum()
            if objects:
                precision = np.append(hits / np.arange(1, len(hits) + 1), 0)
                at = np.searchsorted(hits / objects, RECALLS)
                values.append(np.mean([precision[i:].max() for i in at]))
    return np.mean(values)


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [('bbox', 0.5045806987249628), ('segm', 0.3195452758576433), ('boundary', 0.22639400050237551)],
)
def test_matches_give_the_average_precision(shared_dir, kind, expected):
    """On real data; the number of boundaries is faster-coco-eval 1.8.0's."""
    folder = shared_dir / 'real/coco100'
    truth = InstanceMetric(str(folder / 'instances_val2014_100.json')).truth
    name = 'fakebbox100' if kind == 'bbox' else 'fakesegm100'
    entries = json.loads((folder / f'instances_val2014_{name}_results.json').read_text())
    ids = sorted(truth.cats)
    given = (truth, coco_samples(entries, name, truth, ids))
    options = (ids, [1, 10, 100], THRESHOLDS)
    if kind == 'boundary':
        found = evaluate_boundaries(*given, *options)
    else:
        found = evaluate(*given, kind, *options)
    defined = found.precision[..., 0, -1]
    assert defined[defined > -1].mean() == pytest.approx(expected, abs=1e-12)
    assert average_precision(found.matches, len(ids)) == pytest.approx(expected, abs=1e-12)


def test_scores_of_images_by_hand():
    """A cut parts no equal scores, a crowd's detections do not count, nothing to find is good."""
    matched = np.array([[1, 0, 0, 1, 0, 0]], dtype=bool)
    ignored = np.array([[0, 0, 1, 0, 0, 0]], dtype=bool)
    matches = Matches(
        images=np.array([0, 0, 1]),
        categories=np.array([0, 1, 0]),
        starts=np.array([0, 3, 5, 6]),
        objects=np.array([2, 1, 0]),
        scores=np.array([0.9, 0.5, 0.4, 0.5, 0.1, 0.3]),
        matched=matched,
        ignored=ignored,
    )
    nothing = np.empty(0)
    found = Evaluation(nothing, nothing, THRESHOLDS[:1], [100], lambda: matches, THRESHOLDS[:1])
    # of three objects: one right of one found, two of three at 0.5, two of four at 0.1
    best = max(2 * 1 / (1 + 3), 2 * 2 / (3 + 3), 2 * 2 / (4 + 3))
    assert image_scores(found, 3).tolist() == pytest.approx([best, 0.7, 1.0])


def test_another_version_of_the_state_is_refused():
    with pytest.raises(RuntimeError, match=r'hotcoco.*HCSE'):
        read_state(b'HCSE\x09\x00\x00\x00' + bytes(100))
