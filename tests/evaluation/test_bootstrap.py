"""Intervals against closed forms, against resamples made by hand, and how often they are right."""

import numpy as np
import pytest

from fastvit_dense.evaluation import evaluate_hand
from fastvit_dense.evaluation.bootstrap import differences, resample_weights, uncertainty
from fastvit_dense.evaluation.coco import indexed
from fastvit_dense.evaluation.coco_matches import THRESHOLDS, Matches
from fastvit_dense.evaluation.coco_matching import evaluate
from fastvit_dense.evaluation.hand import HandMetric
from fastvit_dense.evaluation.predictions import coco_samples
from fastvit_dense.evaluation.semantic import class_scores
from fastvit_dense.evaluation.statistics import Confusions, Detections, Means

from .coco_sets import pycocotools_scores


def names(count):
    return np.arange(count).astype(str)


def means(values):
    return Means(names(len(values)), np.array(['PA-MPJPE']), np.asarray(values)[:, None])


def test_interval_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(7, 2, 400)
    found = uncertainty(means(values))['PA-MPJPE']
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert (found.level, found.resamples) == (0.95, 1000)
    assert uncertainty(means(values)) == {'PA-MPJPE': found}
    assert uncertainty(means(values), seed=1) != {'PA-MPJPE': found}


def test_weights_draw_every_image_alike():
    weights = np.concatenate(list(resample_weights(40, 1000)))
    assert weights.shape == (1000, 40)
    assert (weights.sum(axis=1) == 40).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.2)
    assert weights.var() == pytest.approx(1 - 1 / 40, rel=0.05)


def test_differences_are_in_pairs():
    random = np.random.default_rng(0)
    values = random.normal(7, 2, 300)
    better = means(values - 0.1)
    found = differences(means(values), better)['PA-MPJPE']
    assert found.low == pytest.approx(-0.1)
    assert found.high == pytest.approx(-0.1)
    assert found.excludes_zero
    same = differences(better, better)['PA-MPJPE']
    assert (same.low, same.high, same.excludes_zero) == (0, 0, False)

    noisy = means(values - 0.1 + random.normal(0, 3, 300))
    found = differences(means(values), noisy)['PA-MPJPE']
    change = noisy.values - means(values).values
    half = 1.96 * change.std() / np.sqrt(300)
    assert found.low == pytest.approx(change.mean() - half, abs=0.15 * half)
    order = random.permutation(300)
    turned = Means(noisy.ids[order], noisy.names, noisy.values[order])
    assert differences(means(values), turned)['PA-MPJPE'].low == pytest.approx(found.low)


def test_other_images_and_single_ones_have_no_interval():
    assert differences(means([1, 2, 3]), means([1, 2])) is None
    other = Means(np.array(['0', '1', 'x']), np.array(['PA-MPJPE']), np.ones((3, 1)))
    assert differences(means([1, 2, 3]), other) is None
    assert uncertainty(means([1.0])) == {}


def small_coco(seed, images=12, categories=3):
    """Boxes with a crowd here and there, detections around them, and no equal scores."""
    random = np.random.default_rng(seed)
    truth = {
        'images': [{'id': 10 + i, 'height': 100, 'width': 100} for i in range(images)],
        'categories': [{'id': k + 1, 'name': f'class {k}'} for k in range(categories)],
        'annotations': [],
    }
    entries = []
    for image in truth['images']:
        for _ in range(random.integers(0, 6)):
            box = [*random.uniform(0, 60, 2), *random.uniform(5, 40, 2)]
            label = int(random.integers(1, categories + 1))
            truth['annotations'].append(
                {'id': len(truth['annotations']) + 1, 'image_id': image['id'], 'bbox': box}
                | {'category_id': label, 'area': box[2] * box[3]}
                | {'iscrowd': int(random.random() < 0.15)}
            )
            for _ in range(random.integers(0, 3)):
                found = (np.array(box) + random.normal(0, 2, 4)).clip(1)
                entries.append({'image_id': image['id'], 'bbox': found.tolist()})
                entries[-1] |= {'category_id': label, 'score': float(random.random())}
        for _ in range(random.integers(0, 4)):
            box = [*random.uniform(0, 60, 2), *random.uniform(5, 40, 2)]
            entries.append({'image_id': image['id'], 'bbox': box, 'score': float(random.random())})
            entries[-1]['category_id'] = int(random.integers(1, categories + 1))
    return truth, entries


def repeated(content, entries, weights):
    """The set with each image as often as its weight says."""
    truth = {**content, 'images': [], 'annotations': []}
    found = []
    for image, weight in zip(content['images'], weights, strict=True):
        for _ in range(int(weight)):
            number = len(truth['images'])
            truth['images'].append({**image, 'id': number})
            truth['annotations'] += [
                {**a, 'image_id': number}
                for a in content['annotations']
                if a['image_id'] == image['id']
            ]
            found += [{**e, 'image_id': number} for e in entries if e['image_id'] == image['id']]
    for number, annotation in enumerate(truth['annotations'], start=1):
        annotation['id'] = number
    return truth, found


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_resampled_precision_is_that_of_repeated_images(seed):
    truth, entries = small_coco(seed)
    index = indexed(truth)
    ids = sorted(index.cats)
    samples = coco_samples(entries, 'p.json', index, ids)
    found = evaluate(index, samples, 'bbox', ids, [1, 10, 100], THRESHOLDS)
    images = names(len(truth['images']))
    statistics = Detections(images, {'bbox': found.matches}, THRESHOLDS, len(ids))
    (weights,) = resample_weights(len(images), 6, seed)
    weights[0] = 1
    numbers = statistics.numbers(weights)
    for place, row in enumerate(weights):
        expected = pycocotools_scores(*repeated(truth, entries, row), 'bbox')
        for name in ('bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_75'):
            assert numbers[name][place] == pytest.approx(expected[name], abs=1e-10, rel=0)
    again = Detections.from_arrays(statistics.arrays())
    assert all((again.numbers(weights)[name] == numbers[name]).all() for name in numbers)


@pytest.mark.parametrize('undefined', [np.nan, 0.0])
def test_resampled_counts_are_those_of_repeated_images(undefined):
    random = np.random.default_rng(0)
    matrices = random.integers(0, 50, (15, 4, 4)) * (random.random((15, 4, 4)) < 0.4)
    matrices[:, 3] = matrices[:, :, 3] = 0
    hits = matrices.diagonal(axis1=1, axis2=2)
    statistics = Confusions(names(15), hits, matrices.sum(2), matrices.sum(1), undefined)
    (weights,) = resample_weights(15, 6)
    numbers = Confusions.from_arrays(statistics.arrays()).numbers(weights)
    for place, row in enumerate(weights.astype(int)):
        total = matrices.repeat(row, axis=0).sum(axis=0)
        scores = class_scores(total)
        for name in ('IoU', 'Acc', 'Dice'):
            values = scores[name]
            mean = np.nanmean(values) if np.isnan(undefined) else np.nan_to_num(values).mean()
            assert numbers[f'm{name}'][place] == pytest.approx(100 * mean)
        assert numbers['aAcc'][place] == pytest.approx(100 * np.trace(total) / total.sum())


def test_resampled_hands_are_repeated_hands():
    random = np.random.default_rng(0)
    truth = random.normal(0, 0.04, (10, 799, 3))
    found = truth + random.normal(0, 0.01, truth.shape)
    metric = HandMetric()
    for number, (true, predicted) in enumerate(zip(truth, found, strict=True)):
        hands = {
            name: {'joints': points[:21], 'vertices': points[21:]}
            for name, points in (('gt_hand', true), ('pred_hand', predicted))
        }
        metric.process({}, [{'img_id': number, **hands}])
    metric.evaluate(10)
    (weights,) = resample_weights(10, 4)
    numbers = metric.result.statistics.numbers(weights)
    assert {'PA-MPJPE', 'PA-MPVPE', 'f_al_score_5', 'f_al_score_15'} <= numbers.keys()
    for place, row in enumerate(weights.astype(int)):
        true, predicted = (p.astype(np.float32).repeat(row, axis=0) for p in (truth, found))
        expected = evaluate_hand(true[:, :21], true[:, 21:], predicted[:, :21], predicted[:, 21:])
        for name, values in numbers.items():
            assert values[place] == pytest.approx(expected[name], rel=1e-9)


def simulated_hands(random):
    return means(random.gamma(4, 2, 200)), 8.0


def simulated_counts(random):
    """200 images of 6 classes, of which each has some; the share that is hit differs by image."""
    truth = random.integers(0, 2, (200, 6)) * random.integers(100, 2000, (200, 6))
    hits = (truth * random.beta(6, 3, (200, 6))).astype(int)
    wrong = (truth * random.beta(2, 6, (200, 6))).astype(int)
    return Confusions(names(200), hits, truth, hits + wrong), 100 * (2 / 3) / (1 + 1 / 4)


@pytest.mark.slow
@pytest.mark.parametrize('simulate', [simulated_hands, simulated_counts])
def test_95_of_100_intervals_hold_the_truth(simulate):
    """Over 1,000 sets of 200 images."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        statistics, expected = simulate(random)
        interval = next(iter(uncertainty(statistics).values()))
        held += interval.low <= expected <= interval.high
    assert 930 <= held <= 970


def simulated_detections(random, images=200, categories=4):
    """Objects that are found in 7 of 10 cases, with false detections of lower scores."""
    counts = random.poisson(0.8, (images, categories))
    image, category = np.nonzero(np.ones_like(counts))
    objects = counts[image, category]
    right = random.binomial(objects, 0.7)
    wrong = random.poisson(0.7, len(objects))
    starts = np.concatenate([[0], np.cumsum(right + wrong)])
    matched = np.concatenate([np.arange(r + w) < r for r, w in zip(right, wrong, strict=True)])
    scores = np.where(matched, random.beta(4, 2, len(matched)), random.beta(2, 3, len(matched)))
    quality = random.uniform(0.4, 1, len(matched))
    hits = matched & (quality > THRESHOLDS[:, None])
    matches = Matches(image, category, starts, objects, scores, hits, np.zeros_like(hits))
    return Detections(names(images), {'bbox': matches}, THRESHOLDS, categories)


@pytest.mark.slow
def test_intervals_of_precision_hold_its_mean_over_sets():
    """Over 1,000 sets of 200 images; what is held is AP's mean on sets of this size."""
    random = np.random.default_rng(0)
    sets = [simulated_detections(random) for _ in range(1000)]
    one = np.ones((1, 200))
    expected = np.mean([s.numbers(one)['bbox_mAP'][0] for s in sets])
    intervals = [uncertainty(s, resamples=200)['bbox_mAP'] for s in sets]
    held = sum(interval.low <= expected <= interval.high for interval in intervals)
    print(f'AP: {held} of 1,000 intervals hold {expected:.4f}')
    assert 910 <= held <= 980
