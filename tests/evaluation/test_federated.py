"""LVIS's numbers: by hand from its rules, and hotcoco's own drop-in for the package `lvis`."""

import json

import hotcoco
import numpy as np
import pytest

from fastvit_dense.evaluation.bootstrap import uncertainty
from fastvit_dense.evaluation.federated import FederatedMetric, best_of
from fastvit_dense.evaluation.statistics import Detections
from tests.evaluation.coco_sets import rectangle_rle


def lvis_file(folder, images=6, categories=1203, seed=0):
    """A file of LVIS's form and detections: objects, negatives, categories not seen through."""
    random = np.random.default_rng(seed)
    used = random.choice(categories, 8, replace=False)
    truth = {'images': [], 'annotations': [], 'categories': []}
    for k in range(categories):
        row = {'id': k + 1, 'name': f'thing {k}', 'frequency': 'rcf'[k % 3]}
        truth['categories'].append(row)
    entries = []
    for i in range(1, images + 1):
        held = set()
        for _ in range(5):
            category = int(random.choice(used)) + 1
            box = [*random.integers(0, 60, 2).tolist(), *random.integers(10, 60, 2).tolist()]
            held.add(category)
            number = len(truth['annotations']) + 1
            entry = {'image_id': i, 'category_id': category, 'bbox': box}
            entry['segmentation'] = rectangle_rle(box, (120, 160))
            truth['annotations'].append(entry | {'id': number, 'area': box[2] * box[3]})
            for _ in range(3):
                moved = (np.array(box) + random.integers(-4, 5, 4)).clip(1).tolist()
                found = int(random.choice([category, category, int(random.choice(used)) + 1]))
                entries.append(
                    {'image_id': i, 'category_id': found, 'bbox': moved}
                    | {'score': float(random.random())}
                    | {'segmentation': rectangle_rle(moved, (120, 160))}
                )
        others = [int(c) + 1 for c in used if int(c) + 1 not in held]
        truth['images'].append(
            {
                'id': i,
                'height': 120,
                'width': 160,
                'coco_url': f'http://images.cocodataset.org/val2017/{i:012d}.jpg',
                'neg_category_ids': others[: len(others) // 2],
                'not_exhaustive_category_ids': sorted(held)[:1],
            }
        )
    path = folder / 'lvis_val.json'
    path.write_text(json.dumps(truth))
    return path, truth, entries


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_equals_hotcocos_drop_in(tmp_path, kind):
    path, truth, entries = lvis_file(tmp_path)
    results = tmp_path / 'instances.json'
    results.write_text(json.dumps(entries))
    metric = FederatedMetric(str(path), kind)
    metric.results = metric.read_predictions(results)
    found = metric.evaluate(len(truth['images']))

    index = hotcoco.COCO(truth)
    if kind == 'segm':
        entries = [{k: v for k, v in entry.items() if k != 'bbox'} for entry in entries]
    evaluator = hotcoco.LVISEval(index, hotcoco.LVISResults(index, entries), kind)
    evaluator.run()
    expected = {f'{kind}_{name}': value for name, value in evaluator.get_results().items()}
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 < found[f'{kind}_AP'] < 1
    assert len(metric.result.per_class) == 1203

    statistics = Detections.from_arrays(metric.result.statistics.arrays())
    numbers = statistics.numbers(np.ones((1, len(truth['images']))))
    assert set(numbers) == {f'{kind}_AP{k}' for k in ('', '50', '75', 'r', 'c', 'f')}
    for name, value in numbers.items():
        expected = np.nan if found[name] < 0 else found[name]
        assert value[0] == pytest.approx(expected, abs=1e-12, nan_ok=True), name
    interval = uncertainty(statistics)[f'{kind}_AP']
    assert interval.low < found[f'{kind}_AP'] < interval.high


def test_negatives_count_and_what_was_not_checked_does_not(tmp_path):
    """The truth of category 1 alone: found; then with an error of it on other images."""
    box, images = [0, 0, 20, 20], []
    for number, fields in enumerate(
        (
            {'neg_category_ids': [], 'not_exhaustive_category_ids': []},
            {'neg_category_ids': [1], 'not_exhaustive_category_ids': []},
            {'neg_category_ids': [], 'not_exhaustive_category_ids': []},
        )
    ):
        images.append({'id': number, 'height': 50, 'width': 50, 'coco_url': 'a/b/c/d'} | fields)
    truth = {
        'images': images,
        'categories': [{'id': 1, 'name': 'cup', 'frequency': 'r'}],
        'annotations': [{'id': 1, 'image_id': 0, 'category_id': 1, 'bbox': box, 'area': 400}],
    }
    path = tmp_path / 'lvis.json'
    path.write_text(json.dumps(truth))

    def ap_with_error_on(image):
        metric = FederatedMetric(str(path))
        for number in range(3):
            scores = [0.9] if number == image else [0.5] if number == 0 else []
            boxes = np.array([[30, 30, 50, 50.0] if number else [0, 0, 20, 20.0]] * len(scores))
            if number == 0 and image == 0:
                boxes, scores = np.array([[30, 30, 50, 50], [0, 0, 20, 20.0]]), [0.9, 0.5]
            predicted = {'bboxes': boxes.reshape(-1, 4), 'scores': np.array(scores)}
            predicted['labels'] = np.zeros(len(scores), int)
            metric.process({}, [{'img_id': number, 'pred_instances': predicted}])
        return metric.evaluate(3)['bbox_APr']

    assert ap_with_error_on(0) == pytest.approx(0.5)
    assert ap_with_error_on(1) == pytest.approx(0.5)  # known not to hold it
    assert ap_with_error_on(2) == pytest.approx(1)  # not checked for it
    truth['images'][0]['not_exhaustive_category_ids'] = [1]
    path.write_text(json.dumps(truth))
    assert ap_with_error_on(0) == pytest.approx(1)  # may be one that the truth lacks


def test_the_best_of_an_image_count_whatever_their_category():
    random = np.random.default_rng(0)
    sample = {
        'id': 1,
        'scores': random.random(500),
        'labels': np.arange(500),
        'boxes': random.random((500, 4)),
        'masks': [bytes([i % 256]) for i in range(500)],
    }
    cut = best_of(sample, 300)
    assert len(cut['masks']) == 300
    assert sorted(cut['scores']) == sorted(sample['scores'])[200:]
    assert (sample['boxes'][cut['labels']] == cut['boxes']).all()
