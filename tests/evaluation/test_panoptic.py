"""Panoptic quality: by hand, a plain loop after the paper, and what mmdet's samples hold."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from fastvit_dense.datasets.formats.panoptic import id2rgb, rgb2id
from fastvit_dense.errors import DataError, MissingFileError, PredictionError
from fastvit_dense.evaluation import evaluate_predictions
from fastvit_dense.evaluation.bootstrap import uncertainty
from fastvit_dense.evaluation.panoptic import PanopticMetric

CLASSES = ('cat', 'dog', 'sky')  # two things and a stuff
SHAPE = (40, 60)


def panoptic_file(folder, images=4, seed=0):
    """A panoptic truth of blocks and crowds, and predictions like mmdet's near it."""
    random = np.random.default_rng(seed)
    (folder / 'png').mkdir()
    truth = {
        'images': [],
        'annotations': [],
        'categories': [
            {'id': 10 * k + 1, 'name': name, 'isthing': int(name != 'sky')}
            for k, name in enumerate(CLASSES)
        ],
    }
    predictions = []
    for i in range(1, images + 1):
        ids, segments = np.zeros(SHAPE, int), []
        predicted = np.full(SHAPE, 3)  # void
        for number in range(5):
            label = int(random.integers(3))
            y, x = random.integers(0, 30), random.integers(0, 45)
            h, w = random.integers(6, 16, 2)
            ids[y : y + h, x : x + w] = number + 1
            segment = {'id': number + 1, 'category_id': 10 * label + 1}
            segments.append(segment | {'iscrowd': int(label < 2 and random.random() < 0.2)})
            moved = random.integers(-2, 3, 2)
            y, x = max(y + moved[0], 0), max(x + moved[1], 0)
            found = label if random.random() < 0.8 else int(random.integers(3))
            predicted[y : y + h, x : x + w] = found + 1000 * number
        present = set(np.unique(ids))
        segments = [s | {'area': int((ids == s['id']).sum())} for s in segments]
        segments = [s for s in segments if s['id'] in present]
        name = f'{i:012d}.png'
        Image.fromarray(id2rgb(ids)).save(folder / 'png' / name)
        truth['images'].append({'id': i, 'height': SHAPE[0], 'width': SHAPE[1]})
        truth['images'][-1]['file_name'] = name.replace('png', 'jpg')
        truth['annotations'].append({'image_id': i, 'file_name': name, 'segments_info': segments})
        predictions.append(predicted)
    path = folder / 'panoptic_val.json'
    path.write_text(json.dumps(truth))
    return path, truth, predictions


def metric_of(folder, path):
    metric = PanopticMetric(str(path), str(folder / 'png'))
    metric.dataset_meta = {'classes': CLASSES}
    return metric


def sample(number, predicted):
    return {'img_id': number, 'pred_panoptic_seg': {'sem_seg': torch.tensor(predicted)[None]}}


def plain_loop(folder, truth, predictions):
    """PQ by its definition, segment by segment."""
    sums = {c['id']: [0.0, 0, 0, 0] for c in truth['categories']}  # IoU, TP, FP, FN
    for annotation, predicted in zip(truth['annotations'], predictions, strict=True):
        ids = rgb2id(np.array(Image.open(folder / 'png' / annotation['file_name'])))
        segments = annotation['segments_info']
        matched_truth = set()
        for number in np.unique(predicted[predicted != 3]):
            label = number % 1000
            if label == 3:
                continue
            mask, category = predicted == number, 10 * label + 1
            hit = False
            for segment in segments:
                if segment['category_id'] != category or segment['iscrowd']:
                    continue
                other = ids == segment['id']
                union = ((mask & (ids > 0)) | other).sum()
                iou = (mask & other).sum() / union
                if iou > 0.5:
                    hit = True
                    matched_truth.add(segment['id'])
                    sums[category][0] += iou
                    sums[category][1] += 1
            if not hit:
                ignored = (mask & (ids == 0)).sum()
                crowds = [s for s in segments if s['iscrowd'] and s['category_id'] == category]
                for crowd in crowds[-1:]:  # panopticapi keeps one of a category, the last
                    ignored += (mask & (ids == crowd['id'])).sum()
                sums[category][2] += ignored / mask.sum() <= 0.5
        for segment in segments:
            if segment['id'] not in matched_truth and not segment['iscrowd']:
                sums[segment['category_id']][3] += 1
    quality = {}
    for ending, things in (('', {0, 1}), ('_th', {1}), ('_st', {0})):
        chosen = [c['id'] for c in truth['categories'] if c['isthing'] in things]
        rows = [sums[i] for i in chosen if sum(sums[i][1:])]
        quality[f'PQ{ending}'] = 100 * np.mean(
            [iou / (tp + fp / 2 + fn / 2) for iou, tp, fp, fn in rows]
        )
        quality[f'SQ{ending}'] = 100 * np.mean([iou / tp if tp else 0 for iou, tp, _, _ in rows])
        quality[f'RQ{ending}'] = 100 * np.mean(
            [tp / (tp + fp / 2 + fn / 2) for _, tp, fp, fn in rows]
        )
    return quality


@pytest.mark.parametrize('seed', range(3))
def test_equals_a_plain_loop(tmp_path, seed):
    path, truth, predictions = panoptic_file(tmp_path, seed=seed)
    metric = metric_of(tmp_path, path)
    for number, predicted in enumerate(predictions, 1):
        metric.process({}, [sample(number, predicted)])
    found = metric.evaluate(len(predictions))
    assert found == pytest.approx(plain_loop(tmp_path, truth, predictions), abs=1e-9)
    assert 0 < found['PQ'] < 100
    assert 'above IoU 0.5' in metric.result.protocol['rule']
    scores = {row['id']: row['score'] for row in metric.result.per_sample}
    for number, predicted in enumerate(predictions, 1):
        alone = metric_of(tmp_path, path)
        alone.process({}, [sample(number, predicted)])
        assert scores[number] == pytest.approx(alone.evaluate(1)['PQ'] / 100)
    rows = metric.result.per_class
    assert [row['name'] for row in rows] == list(CLASSES)
    assert np.mean([row['PQ'] for row in rows]) == pytest.approx(found['PQ'])
    segments = [s for a in truth['annotations'] for s in a['segments_info'] if not s['iscrowd']]
    assert sum(row['objects'] for row in rows) == len(segments)

    # any resample is scored as its images are: here those of uneven numbers, twice the first
    statistics = metric.result.statistics
    assert {n: v[0] for n, v in statistics.numbers(np.ones((1, 4))).items()} == pytest.approx(found)
    drawn = [0, 0, 2]
    again = {**truth, 'annotations': [truth['annotations'][k] for k in drawn]}
    expected = plain_loop(tmp_path, again, [predictions[k] for k in drawn])
    resampled = statistics.numbers(np.array([[2.0, 0, 1, 0]]))
    assert {n: v[0] for n, v in resampled.items()} == pytest.approx(expected, nan_ok=True)
    assert uncertainty(statistics)['PQ'].low < found['PQ'] < uncertainty(statistics)['PQ'].high


def test_saved_predictions_score_the_same(tmp_path):
    path, _, predictions = panoptic_file(tmp_path)
    metric = metric_of(tmp_path, path)
    metric.save_predictions(tmp_path / 'saved')
    metric.process({}, [sample(i, p) for i, p in enumerate(predictions, 1)])
    found = metric.evaluate(len(predictions))
    again = evaluate_predictions(metric_of(tmp_path, path), tmp_path / 'saved')
    assert again.metrics == found
    (tmp_path / 'saved/panoptic.json').write_text('[')
    with pytest.raises(PredictionError, match=r'panoptic\.json'):
        evaluate_predictions(metric_of(tmp_path, path), tmp_path / 'saved')


@pytest.fixture
def saved(tmp_path):
    """A metric, and saved predictions of its four images."""
    path, _, predictions = panoptic_file(tmp_path)
    metric = metric_of(tmp_path, path)
    metric.save_predictions(tmp_path / 'saved')
    metric.process({}, [sample(i, p) for i, p in enumerate(predictions, 1)])
    metric.evaluate(len(predictions))
    return metric, tmp_path / 'saved/panoptic.json'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('annotations'), 'expected an object with a list "annotations"'),
        (lambda c: c['annotations'][0].pop('file_name'), r'annotations\[0\]\.file_name: expected'),
        (lambda c: c['annotations'][1].update(image_id=9), r'annotations\[1\]\.image_id: .* 9'),
        (lambda c: c['annotations'].append(c['annotations'][0]), 'one entry for each .* 1 again'),
        (lambda c: c['annotations'].pop(), r'each of the 4 images .* none of image 4 \(1 are'),
        (lambda c: c['annotations'][0].update(file_name='no.png'), r'panoptic/no\.png: .* no such'),
    ],
)
def test_saved_predictions_that_cannot_be_scored(saved, change, message):
    metric, file = saved
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(PredictionError, match=message):
        evaluate_predictions(metric, file)


def test_a_saved_png_that_is_cut(saved):
    metric, file = saved
    png = next((file.parent / 'panoptic').iterdir())
    png.write_bytes(png.read_bytes()[:-30])
    with pytest.raises(PredictionError, match=rf'{png.name}: expected a whole PNG file'):
        evaluate_predictions(metric, file)


def test_saved_predictions_of_a_part_by_the_indices_of_the_dataset(saved):
    metric, file = saved
    content = json.loads(file.read_text())
    del content['annotations'][2:]
    file.write_text(json.dumps(content))
    assert evaluate_predictions(metric, file, {'indices': 2}).samples == 2


def test_a_true_png_that_is_missing(saved, tmp_path):
    metric, file = saved
    next((tmp_path / 'png').iterdir()).unlink()
    with pytest.raises(PredictionError, match='panoptic quality: cannot open'):
        evaluate_predictions(metric, file)


def test_a_perfect_prediction_of_part_of_the_images(tmp_path):
    path, truth, _ = panoptic_file(tmp_path)
    metric = metric_of(tmp_path, path)
    first = truth['annotations'][0]
    ids = rgb2id(np.array(Image.open(tmp_path / 'png' / first['file_name'])))
    predicted = np.full(SHAPE, 3)
    for segment in first['segments_info']:
        predicted[ids == segment['id']] = segment['category_id'] // 10 + 1000 * segment['id']
    metric.process({}, [sample(1, predicted)])
    assert metric.evaluate(1)['PQ'] == 100
    assert metric.result.protocol['images_scored'] == '1 of 1'


def test_an_image_that_is_predicted_twice_counts_once(tmp_path):
    path, _, predictions = panoptic_file(tmp_path)
    found = []
    for ids in ((1, 2), (1, 2, 1)):
        metric = metric_of(tmp_path, path)
        for number in ids:
            metric.process({}, [sample(number, predictions[number - 1])])
        found.append(metric.evaluate(len(ids)))
    assert found[0] == found[1]


def test_what_cannot_be_scored_is_named(tmp_path):
    path, truth, predictions = panoptic_file(tmp_path)
    with pytest.raises(PredictionError, match='label 7 is no class'):
        metric_of(tmp_path, path).process({}, [sample(1, np.full(SHAPE, 7))])
    metric = metric_of(tmp_path, path)
    metric.process({}, [sample(99, predictions[0])])
    with pytest.raises(PredictionError, match='image 99'):
        metric.evaluate(1)
    with pytest.raises(PredictionError, match='no images to score'):
        metric.evaluate(1)
    metric.process({}, [sample(1, predictions[0][:20])])
    with pytest.raises(PredictionError, match=r'image 1: .* 20×60'):
        metric.evaluate(1)
    with pytest.raises(MissingFileError, match='nowhere'):
        PanopticMetric(str(path), str(tmp_path / 'nowhere'))
    with pytest.raises(MissingFileError, match=r'absent\.json'):
        PanopticMetric(str(tmp_path / 'absent.json'), str(tmp_path / 'png'))
    del truth['annotations'][0]['segments_info']
    path.write_text(json.dumps(truth))
    with pytest.raises(DataError, match='segments_info'):
        metric_of(tmp_path, path)


def test_colours_hold_any_id():
    ids = np.array([[0, 255, 256], [65535, 65536, 2**24 - 1]])
    assert (rgb2id(id2rgb(ids)) == ids).all()
