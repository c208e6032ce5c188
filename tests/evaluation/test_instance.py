"""COCO scores against pycocotools, the arguments of mmdet's metric, and ugly predictions."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from fastvit_dense.errors import DataError
from fastvit_dense.evaluation import InstanceMetric, PredictionError, evaluate_predictions
from tests.facts import raises_naming

from .coco_sets import (
    NAMES,
    coco_sets,
    pycocotools_evaluator,
    pycocotools_scores,
    rectangle_rle,
)

SIZE = (60, 80)


def write(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def small_truth():
    boxes = {1: [[10, 10, 20, 20], [40, 10, 30, 40]], 2: [[5, 5, 60, 50]], 3: []}
    annotations = [
        {'image_id': i, 'bbox': box, 'category_id': 7 if k else 3, 'area': box[2] * box[3]}
        | {'iscrowd': 0, 'segmentation': rectangle_rle(box, SIZE)}
        for i, found in boxes.items()
        for k, box in enumerate(found)
    ]
    return {
        'images': [{'id': i, 'height': SIZE[0], 'width': SIZE[1]} for i in boxes],
        'categories': [{'id': 3, 'name': 'cat'}, {'id': 7, 'name': 'dog'}],
        'annotations': [a | {'id': k + 1} for k, a in enumerate(annotations)],
    }


def sample(image_id, boxes, scores, labels, **fields):
    masks = torch.zeros(len(boxes), *SIZE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    predicted = {
        'bboxes': torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        'scores': torch.tensor(scores, dtype=torch.float32),
        'labels': torch.tensor(labels, dtype=torch.int64),
        'masks': masks,
    }
    return {'img_id': image_id, 'ori_shape': SIZE, 'pred_instances': predicted | fields}


@pytest.fixture
def truth_file(tmp_path):
    return write(tmp_path / 'truth.json', small_truth())


@pytest.fixture
def metric(truth_file):
    metric = InstanceMetric(truth_file, metric=['bbox', 'segm'])
    metric.dataset_meta = {'classes': ('cat', 'dog')}
    return metric


@pytest.mark.parametrize(
    ('metric', 'results', 'known'),
    [
        ('bbox', 'fakebbox100', 0.5045806987249628),
        ('segm', 'fakesegm100', 0.3195452758576433),
    ],
)
def test_equals_pycocotools_on_coco100(shared_dir, metric, results, known):
    folder = shared_dir / 'real/coco100'
    ann_file = folder / 'instances_val2014_100.json'
    predictions = folder / f'instances_val2014_{results}_results.json'
    result = evaluate_predictions(InstanceMetric(str(ann_file), metric=metric), predictions)
    expected = pycocotools_scores(
        json.loads(ann_file.read_text()), json.loads(predictions.read_text()), metric
    )
    assert result.metrics == pytest.approx(expected, abs=1e-12, rel=0)
    assert result.metrics[f'{metric}_mAP'] == pytest.approx(known, abs=1e-12)
    assert all(type(value) is float for value in result.metrics.values())
    assert (result.samples, result.split) == (100, 'val2014_100')
    assert len(result.per_class) == 80
    assert sum(row['objects'] for row in result.per_class) == 830


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(coco_sets())
def test_equals_pycocotools_on_generated_sets(tmp_path_factory, generated):
    truth, entries = generated
    folder = tmp_path_factory.mktemp('generated')
    ann_file = write(folder / 'truth.json', truth)
    write(folder / 'instances.json', entries)
    metric = InstanceMetric(ann_file, metric=['bbox', 'segm'])
    result = evaluate_predictions(metric, folder)
    for kind in ('bbox', 'segm'):
        evaluator = pycocotools_evaluator(truth, entries, kind)
        for name, expected in zip(NAMES, evaluator.stats, strict=True):
            assert result.metrics[f'{kind}_{name}'] == pytest.approx(expected, abs=1e-12, rel=0)
        precision = evaluator.eval['precision'][..., 0, -1]  # (T, R, K)
        for threshold, index in (('50', 0), ('75', 5)):
            curve = result.arrays[f'{kind}_precision_{threshold}']
            np.testing.assert_array_equal(curve, precision[index].astype(np.float32))
        for k, row in enumerate(result.per_class):
            defined = (precision[..., k] > -1).all()
            mean = pytest.approx(precision[..., k].mean(), abs=1e-12, rel=0)
            assert row[f'{kind}_AP'] == (mean if defined else None)
    assert all(0 <= row['score'] <= 1 for row in result.per_sample)


def test_perfect_and_missing_predictions_by_hand(metric):
    metric.process({}, [sample(1, [[10, 10, 30, 30], [40, 10, 70, 50]], [0.9, 0.8], [0, 1])])
    metric.process({}, [sample(2, [], [], []), sample(3, [], [], [])])
    scores = metric.evaluate(3)
    # of cats the first of two is found, of dogs the only one; precision stays 1 up to that recall
    cat = 51 / 101
    assert scores['bbox_mAP'] == pytest.approx((cat + 1) / 2, abs=1e-12)
    assert scores['segm_mAP_50'] == pytest.approx((cat + 1) / 2, abs=1e-12)
    assert scores['bbox_AR@1'] == pytest.approx(0.75)
    assert scores['bbox_mAP_l'] == -1
    rows = metric.result.per_class
    assert rows[0] | {'name': 'cat', 'objects': 2} == rows[0]
    assert rows[0]['segm_AP'] == pytest.approx(cat, abs=1e-12)
    assert rows[1]['segm_AR'] == 1
    assert [row['score'] for row in metric.result.per_sample] == [1, 0, 1]
    curve = metric.result.curves['precision_recall']
    assert curve['recall'][50] == 0.5
    assert curve['bbox_50'][50] == 1
    assert curve['bbox_50'][51] == 0.5


def test_no_detections_and_no_objects(truth_file, tmp_path):
    metric = InstanceMetric(truth_file)
    assert metric.evaluate(3)['bbox_mAP'] == 0
    empty = InstanceMetric(write(tmp_path / 'empty.json', small_truth() | {'annotations': []}))
    empty.process({}, [sample(1, [[1, 1, 5, 5]], [0.5], [0])])
    assert set(empty.evaluate(3).values()) == {-1.0}


def test_process_takes_codes_and_data_elements_alike(metric):
    plain = sample(1, [[10, 10, 30, 30], [40, 12, 70, 50]], [0.9, 0.8], [0, 1])
    metric.process({}, [plain])
    expected = metric.evaluate(1)
    masks = plain['pred_instances'].pop('masks').numpy()
    codes = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    element = InstanceData(**plain['pred_instances'], masks=codes)
    metric.process({}, [plain | {'pred_instances': element}])
    assert metric.evaluate(1) == expected


def test_saved_predictions_score_the_same_to_the_last_digit(truth_file, tmp_path):
    generator = torch.Generator().manual_seed(0)
    metric = InstanceMetric(truth_file, metric=['bbox', 'segm'], outfile_prefix=str(tmp_path / 'x'))
    metric.save_predictions(tmp_path / 'saved')
    for image_id in (1, 2, 3):
        boxes = torch.tensor([[10, 10, 30, 30], [40, 10, 70, 50], [5, 5, 65, 55]] * 10)
        corners = boxes + torch.randn(30, 4, generator=generator) * 3
        labels = torch.randint(0, 2, (30,), generator=generator).tolist()
        scores = torch.rand(30, generator=generator).round(decimals=1).tolist()
        metric.process({}, [sample(image_id, corners.tolist(), scores, labels)])
    expected = metric.evaluate(3)
    assert 0 < expected['segm_mAP'] < 1
    again = evaluate_predictions(
        {'type': 'InstanceMetric', 'ann_file': truth_file, 'metric': ['bbox', 'segm']},
        tmp_path / 'saved' / 'instances.json',
    )
    assert again.metrics == expected
    assert again.per_sample == metric.result.per_sample
    entries = json.loads((tmp_path / 'x.segm.json').read_text())
    assert len(entries) == 90
    segm = pycocotools_scores(small_truth(), entries, 'segm')
    assert {k: v for k, v in expected.items() if 'segm' in k} == pytest.approx(segm, abs=1e-12)
    assert not list(tmp_path.rglob('*.partial'))


def test_mask_scores_rank_masks(metric):
    fields = {'mask_scores': torch.tensor([0.1, 0.9])}
    boxes = [[10, 10, 30, 30], [50, 50, 60, 60]]
    metric.process({}, [sample(1, boxes, [0.9, 0.1], [0, 0], **fields)])
    scores = metric.evaluate(1)
    assert scores['segm_mAP'] < scores['bbox_mAP']


def test_boundary_scores_are_no_better_than_masks(truth_file):
    metric = InstanceMetric(truth_file, metric=['segm', 'boundary'])
    metric.process({}, [sample(1, [[11, 10, 31, 30], [40, 10, 70, 50]], [0.9, 0.8], [0, 1])])
    scores = metric.evaluate(1)
    assert 0 < scores['boundary_mAP'] <= scores['segm_mAP']


@pytest.mark.parametrize(
    ('image', 'category', 'annotation'), [(2**60 + 1, 2**60 + 1, 1), (-5, 0, 0), (77, 2**31, 9)]
)
def test_any_id_will_do(tmp_path, image, category, annotation):
    """Of images, categories and annotations; pycocotools takes a match with 0 for none."""
    truth = small_truth()
    truth['images'][0]['id'] = image
    truth['categories'][0]['id'] = category
    for place, entry in enumerate(truth['annotations']):
        entry['id'] = annotation + place
        entry['image_id'] = image if entry['image_id'] == 1 else entry['image_id']
        entry['category_id'] = category if entry['category_id'] == 3 else entry['category_id']
    metric = InstanceMetric(write(tmp_path / 'truth.json', truth), metric=['bbox', 'segm'])
    metric.dataset_meta = {'classes': ('cat', 'dog')}
    metric.process({}, [sample(image, [[10, 10, 30, 30], [40, 10, 70, 50]], [0.9, 0.8], [0, 1])])
    metric.process({}, [sample(2, [[5, 5, 65, 55]], [0.7], [0])])
    scores = metric.evaluate(2)
    assert scores['bbox_mAP'] == scores['segm_mAP'] == scores['bbox_AR@100'] == 1


def test_more_masks_in_an_image_than_a_byte_counts(metric):
    """pycocotools' `area` fails on such lists."""
    boxes = [[10, 10, 30, 30], *([[0, 50, 5, 55]] * 299)]
    metric.process({}, [sample(1, boxes, [0.9] + [0.5] * 299, [0] * 300)])
    assert metric.evaluate(1)['segm_AR@1'] == 0.5


def test_ground_truth_of_the_data_samples_as_mmdet_takes_it(metric):
    pytest.importorskip('mmdet')
    from mmdet.evaluation.metrics import CocoMetric

    samples = []
    for image_id in (1, 2):
        one = sample(image_id, [[10, 10, 30, 30], [40, 12, 70, 50]], [0.9, 0.8], [0, 1])
        one['instances'] = [
            {'bbox': [10, 11, 30, 30], 'bbox_label': 0, 'ignore_flag': 0},
            {'bbox': [40, 10, 72, 50], 'bbox_label': 1, 'ignore_flag': image_id - 1},
        ]
        samples.append(one)
    theirs, ours = CocoMetric(), InstanceMetric()
    found = []
    for one in (theirs, ours):
        one.dataset_meta = {'classes': ('cat', 'dog')}
        one.process({}, samples)
        found.append(one.evaluate(2))
    assert found[1]['bbox_mAP'] == pytest.approx(found[0]['coco/bbox_mAP'], abs=1e-3)
    assert 0 < found[1]['bbox_mAP'] < 1


def test_labels_follow_the_classes_whatever_the_order_of_the_file(truth_file):
    metric = InstanceMetric(truth_file)
    metric.dataset_meta = {'classes': ('dog',)}
    metric.process({}, [sample(1, [[40, 10, 70, 50]], [0.8], [0])])
    assert metric.evaluate(1)['bbox_mAP'] == 1
    assert [row['name'] for row in metric.result.per_class] == ['dog']
    metric.dataset_meta = {'classes': ('dog', 'cat')}
    metric.process({}, [sample(1, [[40, 10, 70, 50]], [0.8], [0])])
    metric.evaluate(1)
    assert {row['name']: row['bbox_AP'] for row in metric.result.per_class}['dog'] == 1
    metric.dataset_meta = {'classes': ('dgo',)}
    with raises_naming(DataError, truth_file, 'dgo', "did you mean 'dog'"):
        metric.process({}, [sample(1, [], [], [])])


def test_options_of_mmdets_metric(truth_file, tmp_path):
    one = sample(1, [[10, 10, 30, 30], [40, 10, 70, 50]], [0.9, 0.8], [0, 1])
    metric = InstanceMetric(
        truth_file, proposal_nums=(100, 300, 1000), metric_items=['mAP', 'AR@300'], classwise=True
    )
    metric.process({}, [one])
    scores = metric.evaluate(1)
    assert list(scores) == ['bbox_mAP', 'bbox_AR@300', 'bbox_cat_precision', 'bbox_dog_precision']
    metric = InstanceMetric(truth_file, iou_thrs=[0.5], prefix='coco')
    metric.process({}, [one])
    scores = metric.evaluate(1)
    assert scores['coco/bbox_mAP'] == scores['coco/bbox_mAP_50']
    assert scores['coco/bbox_mAP_75'] == -1
    with raises_naming(DataError, 'metric', 'bbox', 'segm', 'boundary', 'proposal'):
        InstanceMetric(truth_file, metric='proposal')
    bad = InstanceMetric(truth_file, metric_items=['AP'])
    with raises_naming(DataError, 'metric_items', 'bbox_AP', 'bbox_mAP'):
        bad.evaluate(0)


def test_test_dev_has_no_annotations(tmp_path):
    truth = small_truth()
    del truth['annotations']
    ann_file = write(tmp_path / 'test-dev.json', truth)
    with raises_naming(DataError, ann_file, 'annotations', 'format_only=True', 'outfile_prefix'):
        InstanceMetric(ann_file)
    with raises_naming(DataError, 'format_only', 'outfile_prefix'):
        InstanceMetric(ann_file, format_only=True)
    metric = InstanceMetric(ann_file, format_only=True, outfile_prefix=str(tmp_path / 'out' / 'd'))
    metric.process({}, [sample(2, [[1, 2, 3, 5]], [0.5], [1])])
    assert metric.evaluate(3) == {}
    assert metric.result is None
    assert json.loads((tmp_path / 'out' / 'd.bbox.json').read_text()) == [
        {'image_id': 2, 'category_id': 7, 'score': 0.5, 'bbox': [1, 2, 2, 3]}
    ]


@pytest.mark.parametrize(
    ('fields', 'facts'),
    [
        ({'scores': torch.tensor([0.5, math.nan])}, ['detection 1', 'scores', 'nan']),
        ({'scores': torch.tensor([0.5])}, [2, 'labels', 1, 'scores']),
        ({'labels': torch.tensor([0, 2])}, ['detection 1', 'label', 2, '0..1']),
        ({'bboxes': torch.full((2, 4), math.inf)}, ['detection 0', 'boxes']),
        ({'masks': torch.zeros(2, 4, 4)}, ['image', [60, 80], 'mask', [4, 4]]),
        ({'masks': torch.zeros(1, *SIZE)}, [2, 'labels', 1, 'masks']),
        ({'masks': [{'size': list(SIZE), 'counts': 'abc'}] * 2}, ['detection 0', 'run-length']),
        ({'masks': [[1, 2, 3, 4]] * 2}, ['detection 0', 'run-length', 'found', 'list']),
    ],
)
def test_predictions_that_cannot_be_scored(metric, fields, facts):
    bad = sample(1, [[1, 1, 5, 5], [2, 2, 8, 8]], [0.5, 0.4], [0, 1])
    bad['pred_instances'] |= fields
    with raises_naming(PredictionError, 'image 1', *facts):
        metric.process({}, [bad])


def test_unknown_image_and_missing_masks(metric):
    with raises_naming(PredictionError, 'image 9', metric.ann_file):
        metric.process({}, [sample(9, [], [], [])])
    without = sample(1, [[1, 1, 5, 5]], [0.5], [0])
    del without['pred_instances']['masks']
    with raises_naming(PredictionError, 'image 1', 'metric', 'segm', 'masks'):
        metric.process({}, [without])


def test_images_that_were_loaded_are_scored(truth_file):
    """As pycocotools does with `imgIds`; what was loaded but not predicted counts as missed."""
    truth = small_truth()
    entries = [
        {'image_id': 1, 'category_id': 3, 'score': 0.9, 'bbox': [10, 10, 20, 20]},
        {'image_id': 1, 'category_id': 7, 'score': 0.8, 'bbox': [40, 12, 30, 38]},
    ]
    boxes, scores, labels = [[10, 10, 30, 30], [40, 12, 70, 50]], [0.9, 0.8], [0, 1]
    for loaded, ids in ((1, [1]), (2, [1, 2, 3])):
        metric = InstanceMetric(truth_file)
        metric.dataset_meta = {'classes': ('cat', 'dog')}
        metric.process({}, [sample(1, boxes, scores, labels)])
        expected = pycocotools_scores(truth, entries, 'bbox', ids)
        assert metric.evaluate(loaded) == pytest.approx(expected, abs=1e-12)
        assert metric.result.protocol['images_scored'] == f'{len(ids)} of 3'
        assert [row['id'] for row in metric.result.per_sample] == ids


@pytest.mark.parametrize(('indices', 'ids'), [(1, [1]), (-2, [2, 3]), ([2, 0], [1, 3])])
def test_saved_predictions_are_scored_on_what_the_dataset_loads(truth_file, tmp_path, indices, ids):
    path = write(tmp_path / 'r.json', [])
    dataset = {'type': 'CocoDataset', 'indices': indices, 'metainfo': {'classes': ('cat', 'dog')}}
    result = evaluate_predictions(InstanceMetric(truth_file), path, dataset)
    assert [row['id'] for row in result.per_sample] == ids
    assert result.protocol['images_scored'] == f'{len(ids)} of 3'


def test_order_of_categories_changes_no_score(tmp_path):
    """Labels count the classes of the dataset in every file."""
    truth = small_truth()
    turned = {**truth, 'categories': truth['categories'][::-1]}
    scores = []
    for name, content in (('a', truth), ('b', turned)):
        metric = InstanceMetric(write(tmp_path / f'{name}.json', content), metric=['bbox', 'segm'])
        metric.dataset_meta = {'classes': ('cat', 'dog')}
        metric.process({}, [sample(1, [[10, 10, 30, 30], [40, 10, 70, 50]], [0.9, 0.8], [0, 1])])
        metric.process({}, [sample(2, [[5, 5, 65, 55]], [0.7], [0])])
        scores.append(metric.evaluate(2))
    assert scores[0] == scores[1]
    assert scores[0]['bbox_mAP'] == 1


def test_a_class_that_the_file_lacks_keeps_its_label(truth_file):
    """The numbers are those of the classes that are there; the absent one has no objects."""
    metric = InstanceMetric(truth_file)
    metric.dataset_meta = {'classes': ('owl', 'cat', 'dog')}
    boxes = [[10, 10, 30, 30], [40, 10, 70, 50], [1, 1, 9, 9]]
    metric.process({}, [sample(1, boxes, [0.9, 0.8, 0.7], [1, 2, 0])])
    assert metric.evaluate(1)['bbox_mAP'] == 1
    rows = {row['name']: (row['objects'], row['bbox_AP']) for row in metric.result.per_class}
    assert rows == {'owl': (0, None), 'cat': (1, 1.0), 'dog': (1, 1.0)}
