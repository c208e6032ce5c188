"""Kinds of wrong pixels: pixel by pixel, shares that sum to the loss, and by hand."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy import ndimage

from fastvit_dense.evaluation import SemanticMetric
from fastvit_dense.evaluation.boundary import boundary
from fastvit_dense.evaluation.label_map_errors import BOUNDARY, PAIR, SEGMENT, examine
from fastvit_dense.evaluation.masks import encode_masks

NAMES = ('sky', 'road', 'car', 'tree')


def blobs(seed, shape=(90, 120), classes=4, ignored=0.02):
    """A truth of soft blobs, and a prediction that is it moved, renamed in parts, and noisy."""
    random = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(random.normal(size=(classes, *shape)), (0, 6, 6))
    truth = fields.argmax(axis=0)
    predicted = np.roll(truth, random.integers(-2, 3, 2), axis=(0, 1))
    other = ndimage.gaussian_filter(random.normal(size=(classes, *shape)), (0, 5, 5))
    predicted = np.where(other.max(axis=0) > 0.11, other.argmax(axis=0), predicted)
    noise = random.random(shape) < 0.01
    predicted = np.where(noise, random.integers(0, classes, shape), predicted)
    return predicted, np.where(random.random(shape) < ignored, 255, truth)


def kinds_by_definition(predicted, truth):
    """Kind of each pixel, -1 where it is right or unknown."""
    known = truth != 255
    wrong = known & (predicted != truth)
    reach = max(1, round(0.01 * np.hypot(*truth.shape)))
    kinds = np.full(truth.shape, -1)
    lone = np.zeros(truth.shape, bool)
    for labels in (truth, np.where(known, predicted, 255)):
        for c in range(4):
            parts, count = ndimage.label(labels == c, np.ones((3, 3)))
            for k in range(1, count + 1):
                if wrong[parts == k].all():
                    lone |= parts == k
    for y, x in np.argwhere(wrong):
        window = truth[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        near = (window == predicted[y, x]).any()
        kinds[y, x] = SEGMENT if lone[y, x] else BOUNDARY if near else PAIR
    return kinds


@pytest.mark.parametrize('seed', range(4))
def test_equals_the_definition_pixel_by_pixel(seed):
    predicted, truth = blobs(seed)
    kinds = kinds_by_definition(predicted, truth)
    assert {-1, SEGMENT, BOUNDARY, PAIR} == set(np.unique(kinds))
    for kind, (cells, counts) in enumerate(examine(predicted, truth, 4, 255).kinds):
        expected = np.zeros((4, 4), int)
        np.add.at(expected, (truth[kinds == kind], predicted[kinds == kind]), 1)
        found = np.zeros(16, int)
        found[cells] = counts
        assert (found.reshape(4, 4) == expected).all()


def test_labels_may_be_bytes():
    predicted, truth = blobs(0)
    as_bytes = examine(predicted.astype(np.uint8), truth.astype(np.uint8), 4, 255)
    for found, expected in zip(
        as_bytes.kinds, examine(predicted, truth, 4, 255).kinds, strict=True
    ):
        assert np.array_equal(found, expected)


def scored(pairs, diagnose=True):
    metric = SemanticMetric(iou_metrics=['mIoU', 'boundary_mIoU'])
    metric.dataset_meta = {'classes': NAMES}
    metric.diagnose = diagnose
    for number, (predicted, truth) in enumerate(pairs):
        sample = {'pred_sem_seg': {'data': predicted[None]}, 'gt_sem_seg': {'data': truth[None]}}
        metric.process({}, [sample | {'img_path': f'/data/{number}.jpg'}])
    metric.evaluate(len(pairs))
    return metric.result


def test_shares_sum_to_what_miou_lacks():
    pairs = [blobs(seed) for seed in range(3)]
    result = scored(pairs)
    (lost,) = result.diagnosis['breakdowns']
    total = sum(part['value'] for part in lost['parts'])
    assert total == pytest.approx(100 - result.metrics['mIoU'], abs=1e-9)
    wrong = sum(((p != t) & (t != 255)).sum() for p, t in pairs)
    assert sum(part['count'] for part in lost['parts']) == wrong
    plain = scored(pairs, diagnose=False)
    assert plain.diagnosis == {}
    assert result.metrics == plain.metrics


def test_each_kind_alone():
    """A border moved by one pixel, a car not seen, half a tree taken for a road."""
    truth = np.zeros((100, 200), int)
    truth[60:] = 1
    moved = np.zeros_like(truth)
    moved[61:] = 1
    unseen = truth.copy()
    truth_with_car = truth.copy()
    truth_with_car[20:30, 20:40] = 2
    truth_with_tree = truth.copy()
    truth_with_tree[5:45, 100:180] = 3
    for kind, pixels, predicted, true in (
        (BOUNDARY, 200, moved, truth),
        (SEGMENT, 200, unseen, truth_with_car),
    ):
        found = examine(predicted, true, 4, 255).kinds
        assert [int(counts.sum()) for _, counts in found] == [
            pixels if k == kind else 0 for k in range(3)
        ]
    # half of the tree hangs together with a car that is right
    true, predicted = truth_with_tree.copy(), truth_with_tree.copy()
    true[20:30, 180:200] = 2
    predicted[5:45, 140:180] = 2
    predicted[20:30, 180:200] = 2
    cells, counts = examine(predicted, true, 4, 255).kinds[PAIR]
    reach = round(0.01 * np.hypot(100, 200))
    assert cells.tolist() == [3 * 4 + 2]
    assert counts.tolist() == [40 * 40 - reach * (10 + 2 * reach)]


def test_boundary_miou_equals_the_masks_boundaries():
    pairs = [blobs(seed, ignored=0) for seed in range(3)]
    found = scored(pairs).metrics['boundary_mIoU']
    ious = []
    for c in range(4):
        both, either = 0, 0
        for predicted, truth in pairs:
            a, b = (
                coco_mask.decode(boundary(encode_masks((labels == c)[None])[0])).astype(bool)
                for labels in (predicted, truth)
            )
            both, either = both + (a & b).sum(), either + (a | b).sum()
        ious.append(both / either)
    assert found == pytest.approx(100 * np.mean(ious), abs=1e-9)
    assert scored([(t, t) for _, t in pairs]).metrics['boundary_mIoU'] == 100


def test_pixels_without_truth_count_nowhere():
    predicted, truth = blobs(0, ignored=0)
    truth[20:50, 30:90] = 255
    again = np.where(truth == 255, 3, predicted)
    first, second = scored([(predicted, truth)]), scored([(again, truth)])
    assert first.diagnosis == second.diagnosis
    assert first.metrics == second.metrics


def test_a_segment_of_the_same_shape_and_another_name_is_a_doubt():
    truth = np.zeros((100, 100), int)
    truth[10:40, 20:60] = 2
    predicted = np.zeros_like(truth)
    predicted[10:40, 21:60] = 3
    result = scored([(predicted, truth)])
    (doubt,) = result.diagnosis['doubts']
    assert doubt['image'] == '/data/0.jpg'
    assert doubt['box'] == (20, 10, 40, 30)
    assert doubt['score'] == pytest.approx(39 / 40)
    assert doubt['what'] == (
        'the truth says car, the prediction tree in the same shape, IoU 0.97'
    ) or doubt['what'].endswith('IoU 0.98')
    predicted[:] = 3  # the whole picture is a tree: no word against the car
    assert not any(
        'car' in d['what'] for d in scored([(predicted, truth)]).diagnosis.get('doubts', [])
    )
