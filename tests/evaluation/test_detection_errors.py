"""Kinds of detection errors: a plain loop after TIDE's paper, hotcoco's own, and by hand."""

import hotcoco
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fastvit_dense.evaluation import InstanceMetric
from fastvit_dense.evaluation.coco import indexed
from fastvit_dense.evaluation.detection_errors import (
    CLASS,
    MEANINGS,
    costs,
    doubts,
    judge_detections,
)
from fastvit_dense.evaluation.predictions import coco_samples
from tests.evaluation.coco_sets import rectangle_rle

SIZE = (120, 120)
OF_HOTCOCO = dict(zip(MEANINGS, ('Cls', 'Loc', 'Both', 'Dupe', 'Bkg', 'Miss'), strict=True))


def made_up_set(seed, crowds, images=4, classes=3):
    """Objects, and detections near them or anywhere, of their class or another."""
    random = np.random.default_rng(seed)
    truth = {
        'images': [{'id': 7 * i + 3, 'height': 120, 'width': 120} for i in range(images)],
        'categories': [{'id': 5 * k + 2, 'name': f'class {k}'} for k in range(classes)],
        'annotations': [],
    }
    ids = [category['id'] for category in truth['categories']]
    entries = []

    def add(image, category, box):
        code = rectangle_rle(box, SIZE)
        entry = {'image_id': image['id'], 'category_id': category, 'segmentation': code}
        entries.append(entry | {'bbox': box, 'score': float(random.random())})

    for image in truth['images']:
        for _ in range(random.integers(0, 6)):
            box = [*random.integers(0, 60, 2).tolist(), *random.integers(10, 40, 2).tolist()]
            category = int(random.choice(ids))
            truth['annotations'].append(
                {
                    'id': len(truth['annotations']) + 1,
                    'image_id': image['id'],
                    'category_id': category,
                    'bbox': box,
                    'area': box[2] * box[3],
                    'iscrowd': int(random.random() < crowds),
                    'segmentation': rectangle_rle(box, SIZE),
                }
            )
            for _ in range(random.integers(0, 4)):
                moved = np.round(np.array(box) + random.normal(0, random.choice([1, 4, 12]), 4))
                moved[2:] = np.maximum(moved[2:], 2)
                moved[:2] = np.clip(moved[:2], 0, 100)
                found = int(random.choice([category, category, random.choice(ids)]))
                add(image, found, moved.tolist())
        for _ in range(2):
            add(image, int(random.choice(ids)), [*random.integers(0, 90, 2).tolist(), 10, 10])
    return truth, entries


def plain_loop(truth, entries, shape):
    """AP50 and TIDE's costs by definition, one detection after another."""
    objects = [dict(a, used=False) for a in truth['annotations']]
    classes = [category['id'] for category in truth['categories']]
    detections = [dict(e) for e in sorted(entries, key=lambda e: (e['image_id'], -e['score']))]

    def iou(a, b):
        return float(coco_mask.iou([a[shape]], [b[shape]], [b['iscrowd']])[0, 0])

    for found in detections:
        there = [o for o in objects if o['image_id'] == found['image_id']]
        real = [o for o in there if not o['iscrowd']]
        own = [(iou(found, o), o) for o in real if o['category_id'] == found['category_id']]
        other = [(iou(found, o), o) for o in real if o['category_id'] != found['category_id']]
        free = [pair for pair in own if not pair[1]['used'] and pair[0] >= 0.5]
        crowds = [o for o in there if o['iscrowd'] and o['category_id'] == found['category_id']]
        nearest, nearest_other = (
            max(pairs, key=lambda pair: pair[0], default=(0.0, None)) for pairs in (own, other)
        )
        if free:
            found['kind'] = 'right'
            max(free, key=lambda pair: pair[0])[1]['used'] = True
        elif any(iou(found, o) >= 0.5 for o in crowds):
            found['kind'] = 'ignored'
        elif 0.1 <= nearest[0] < 0.5:
            found |= {'kind': 'poor overlap', 'object': nearest[1]}
        elif nearest_other[0] >= 0.5:
            found |= {'kind': 'wrong class', 'object': nearest_other[1]}
        elif nearest[0] >= 0.5:
            found['kind'] = 'duplicate'
        elif max(nearest[0], nearest_other[0]) <= 0.1:
            found['kind'] = 'background'
        else:
            found['kind'] = 'class and overlap'
    detections = [found for found in detections if found['kind'] != 'ignored']
    best = {}
    for found in detections:
        if 'object' in found and not found['object']['used']:
            rival = best.setdefault(found['object']['id'], found)
            if rival['score'] < found['score']:
                best[found['object']['id']] = found
    count = dict.fromkeys(classes, 0)
    for o in objects:
        count[o['category_id']] += not o['iscrowd']
    missed = [o for o in objects if not o['iscrowd'] and not o['used'] and o['id'] not in best]

    def mean_precision(mended, count_now=count):
        values = []
        for c in (c for c in classes if count[c]):
            rows = []
            for found in detections:
                now = found['category_id'], found['kind'] == 'right'
                if found['kind'] == mended:
                    wins = 'object' in found and best.get(found['object']['id']) is found
                    now = (found['object']['category_id'], True) if wins else None
                if now and now[0] == c:
                    rows.append((found['score'], now[1]))
            rows.sort(key=lambda row: -row[0])
            hits = np.cumsum([row[1] for row in rows])
            total = 0.0
            for recall in np.linspace(0, 1, 101):
                reached = [
                    hits[i] / (i + 1)
                    for i in range(len(rows))
                    if count_now[c] and hits[i] / count_now[c] >= recall
                ]
                total += max(reached, default=0.0) / 101
            values.append(total)
        return sum(values) / len(values) if values else 0.0

    base = mean_precision(None)
    fewer = dict(count)
    for o in missed:
        fewer[o['category_id']] -= 1
    result = {'AP50': (base, sum(found['kind'] == 'right' for found in detections))}
    for kind in MEANINGS:
        value = mean_precision(kind, fewer if kind == 'missed' else count)
        number = sum(found['kind'] == kind for found in detections)
        result[kind] = max(value - base, 0.0), len(missed) if kind == 'missed' else number
    return result


def judged_of(truth, entries, kind='bbox'):
    index = indexed(truth)
    ids = sorted(index.cats)
    samples = coco_samples(entries, 'made up', index, ids)
    return judge_detections(index, samples, kind, ids, 100), index, ids


@pytest.mark.parametrize(('kind', 'shape'), [('bbox', 'bbox'), ('segm', 'segmentation')])
@pytest.mark.parametrize('crowds', [0, 0.25])
def test_equals_a_plain_loop(kind, shape, crowds):
    for seed in range(12):
        truth, entries = made_up_set(seed, crowds)
        found = costs(judged_of(truth, entries, kind)[0], len(truth['categories']))
        expected = plain_loop(truth, entries, shape)
        for name, (value, count) in expected.items():
            assert found[name] == (pytest.approx(value, abs=1e-12), count), (seed, name)


def test_equals_hotcocos_own_without_crowds():
    for seed in range(12):
        truth, entries = made_up_set(seed, 0)
        index = hotcoco.COCO(truth)
        evaluator = hotcoco.COCOeval(index, index.load_res(entries), 'bbox')
        evaluator.evaluate()
        evaluator.accumulate()
        expected = evaluator.tide_errors()
        found = costs(judged_of(truth, entries)[0], len(truth['categories']))
        assert found['AP50'][0] == pytest.approx(expected['ap_base'], abs=1e-12)
        for name, short in OF_HOTCOCO.items():
            value, count = found[name]
            assert count == expected['counts'][short]
            assert value == pytest.approx(max(expected['delta_ap'][short], 0), abs=1e-9), name


def test_hotcocos_own_takes_crowds_for_objects():
    """The reason for code of our own: a detection beside a crowd becomes a poor overlap."""
    truth, _ = made_up_set(0, 0, images=1)
    crowd = {'id': 1, 'image_id': 3, 'category_id': 2, 'bbox': [0, 0, 40, 40], 'area': 1600}
    truth['annotations'] = [crowd | {'iscrowd': 1}]
    entries = [{'image_id': 3, 'category_id': 2, 'bbox': [0, 30, 40, 40], 'score': 0.9}]
    index = hotcoco.COCO(truth)
    evaluator = hotcoco.COCOeval(index, index.load_res(entries), 'bbox')
    evaluator.evaluate()
    evaluator.accumulate()
    assert evaluator.tide_errors()['counts']['Loc'] == 1
    assert costs(judged_of(truth, entries)[0], 3)['background'][1] == 1


def test_no_more_detections_than_the_limit_are_judged():
    truth, _ = made_up_set(0, 0, images=1)
    entry = {'image_id': 3, 'category_id': 2, 'bbox': [100, 100, 5, 5]}
    entries = [entry | {'score': k / 200} for k in range(130)]
    judged = judged_of(truth, entries)[0]
    assert len(judged.scores) == 100
    assert judged.scores.min() == 30 / 200


def test_doubts_name_what_the_truth_lacks_and_calls_wrong():
    truth, _ = made_up_set(0, 0, images=1)
    truth['images'][0]['file_name'] = 'street.jpg'
    box = {'image_id': 3, 'area': 400, 'iscrowd': 0}
    truth['annotations'] = [
        box | {'id': 1, 'category_id': 2, 'bbox': [0, 0, 20, 20]},
        box | {'id': 2, 'category_id': 7, 'bbox': [50, 50, 20, 20]},
        box | {'id': 3, 'category_id': 7, 'bbox': [80, 0, 30, 30], 'iscrowd': 1},
    ]
    entries = [
        {'image_id': 3, 'category_id': category, 'bbox': place, 'score': score}
        for category, place, score in (
            (7, [0, 0, 20, 20], 0.9),  # of another class than the truth says
            (2, [90, 90, 20, 20], 0.8),  # where nothing is
            (2, [20, 90, 20, 20], 0.4),  # not confident
            (7, [50, 50, 20, 20], 0.7),  # right
            (2, [50, 50, 20, 20], 0.6),  # the truth is borne out by the one above
            (2, [82, 2, 10, 10], 0.95),  # in a crowd
        )
    ]
    judged, index, ids = judged_of(truth, entries)
    assert (judged.kinds == CLASS).sum() == 2
    found = list(doubts(judged, index, ids))
    assert [(d.score, d.box) for d in found] == [(0.9, (0, 0, 20, 20)), (0.8, (90, 90, 20, 20))]
    assert {d.name for d in found} == {'street.jpg'}
    assert 'the truth says class 0, the prediction class 1, 0.90, IoU 1.00' in found[0].what
    assert found[1].what == 'class 0, 0.80, where the truth has nothing'


def test_a_metric_diagnoses_when_asked(tmp_path):
    metric = InstanceMetric(metric=['bbox'])
    metric.dataset_meta = {'classes': ['a', 'b']}
    sample = {
        'img_id': 1,
        'ori_shape': SIZE,
        'instances': [{'bbox': [0, 0, 20, 20], 'bbox_label': 0}],
        'pred_instances': {
            'bboxes': np.array([[0, 0, 20, 20.0]]),
            'scores': np.array([0.75]),
            'labels': np.array([1]),
        },
    }
    metric.process({}, [sample])
    metric.evaluate(1)
    assert metric.result.diagnosis == {}
    metric.diagnose = True
    metric.process({}, [sample])
    metric.evaluate(1)
    (breakdown,) = metric.result.diagnosis['breakdowns']
    assert breakdown['parts'][0] | {'meaning': ''} == {
        'name': 'wrong class',
        'value': 1.0,
        'count': 1,
        'meaning': '',
    }
    assert metric.result.diagnosis['calibration']['bbox']['expected_error'] == 0.75
    assert metric.result.diagnosis['doubts'][0]['score'] == 0.75
