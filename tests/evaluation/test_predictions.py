"""Saved predictions: hands and COCO files there and back, and files that are broken."""

import json

import numpy as np
import pytest

from fastvit_dense.errors import DataError, MissingFileError
from fastvit_dense.evaluation import (
    HandMetric,
    InstanceMetric,
    PredictionError,
    SemanticMetric,
    evaluate_predictions,
)
from fastvit_dense.evaluation.predictions import read_coco_results, write_coco_results
from tests.facts import raises_naming

from .coco_sets import rectangle_rle
from .test_hand import data_samples, made_up_hands
from .test_instance import SIZE, sample, small_truth, write


@pytest.fixture
def metric(tmp_path):
    return InstanceMetric(write(tmp_path / 'truth.json', small_truth()), metric=['bbox', 'segm'])


def entry(**fields):
    box = [10, 10, 20, 20]
    found = {'image_id': 1, 'category_id': 3, 'score': 0.5, 'bbox': box}
    return found | {'segmentation': rectangle_rle(box, SIZE)} | fields


CODE = rectangle_rle([1, 1, 5, 5], SIZE)


@pytest.mark.parametrize(
    ('change', 'facts'),
    [
        ({'image_id': 999}, ['image_id', 999]),
        ({'image_id': '1'}, ['image_id', "'1'"]),
        ({'image_id': [1]}, ['image_id', [1]]),
        ({'category_id': 4}, ['category_id', 4, 2]),
        ({'category_id': None}, ['category_id', None]),
        ({'category_id': 'cat'}, ['category_id', "'cat'", 2, '3']),
        ({'bbox': [5, 5, -3, 4]}, ['bbox', 'width', 'found', [5, 5, -3, 4]]),
        ({'score': float('nan')}, ['score', 'nan', 'finite']),
        ({'score': 'high'}, ['score', 'high']),
        ({'bbox': [1, 2, 3]}, ['bbox', 'found', [1, 2, 3]]),
        ({'bbox': [1, 2, 3, float('inf')]}, ['bbox', 'found', [1, 2, 3, float('inf')]]),
        ({'segmentation': [[1, 2, 3, 4, 5, 6]]}, ['run-length', 'found', 'list']),
        ({'segmentation': CODE | {'size': [80, 60]}}, ['image', [60, 80], 'mask', [80, 60]]),
        ({'segmentation': {'size': list(SIZE)}}, ['run-length', 'counts', 'found', None]),
        ({'segmentation': CODE | {'counts': CODE['counts'][:-2]}}, ['run-length']),
        ({'segmentation': CODE | {'counts': CODE['counts'] + '1'}}, ['run-length', 4806, 4800]),
        ({'segmentation': CODE | {'counts': 'é'}}, ['run-length', 'counts', 'found', 'é']),
        ({'segmentation': CODE | {'counts': [3, 4]}}, ['run-length', 4800, 'found', 7]),
    ],
)
def test_entries_that_cannot_be_scored(metric, tmp_path, change, facts):
    entries = [entry(), entry(image_id=2), entry() | change]
    path = write(tmp_path / 'results.json', entries)
    with raises_naming(PredictionError, path, 'entry 2', *facts):
        evaluate_predictions(metric, path)


@pytest.mark.parametrize(
    ('content', 'facts'),
    [
        ('[{"image_id": 1, "cat', ['JSON', 'truncated']),
        ('', ['JSON']),
        ('{"annotations": []}', ['list', 'found', 'dict']),
        ('[1, 2]', ['entry 0', 'object', 'found', 'int']),
        (
            '[{"image_id": 1, "category_id": 3, "score": 1}]',
            ['entry 0', 'bbox', 'segmentation', 'found', []],
        ),
        ('\x00\xff', ['JSON']),
    ],
)
def test_files_that_are_no_results(metric, tmp_path, content, facts):
    path = tmp_path / 'results.json'
    path.write_text(content, encoding='latin1')
    with raises_naming(PredictionError, path, *facts):
        evaluate_predictions(metric, path)


def test_mixed_entries_are_refused(metric, tmp_path):
    without = entry()
    del without['segmentation']
    path = write(tmp_path / 'results.json', [entry(), without])
    with raises_naming(PredictionError, path, 'entry 1', ['bbox', 'segmentation'], ['bbox']):
        evaluate_predictions(metric, path)
    path = write(tmp_path / 'results.json', [entry(mask_score=0.4), entry()])
    fields = ['bbox', 'segmentation']
    with raises_naming(PredictionError, path, 'entry 1', [*fields, 'mask_score'], fields):
        evaluate_predictions(metric, path)


def test_boxes_alone_and_masks_alone(metric, tmp_path, capsys):
    box_only, mask_only = entry(), entry()
    del box_only['segmentation'], mask_only['bbox']
    found = evaluate_predictions(metric, write(tmp_path / 'boxes.json', [box_only]))
    assert {name.split('_')[0] for name in found.metrics} == {'bbox'}
    other = InstanceMetric(metric.ann_file, metric=['bbox', 'segm'])
    masks = evaluate_predictions(other, write(tmp_path / 'masks.json', [mask_only]))
    assert masks.metrics['bbox_mAP'] == masks.metrics['segm_mAP'] > 0
    segm = InstanceMetric(metric.ann_file, metric='segm')
    with raises_naming(PredictionError, tmp_path / 'boxes.json', 'boxes alone', 'segm', 'masks'):
        evaluate_predictions(segm, tmp_path / 'boxes.json')


def test_uncompressed_codes_are_read(metric, tmp_path):
    runs = [0, 2, 4798]
    path = write(
        tmp_path / 'results.json', [entry(segmentation={'size': list(SIZE), 'counts': runs})]
    )
    sample, *others = read_coco_results(tmp_path / 'results.json', metric.truth, [3, 7])
    assert not any(len(other['labels']) for other in others)
    assert sample['size'] == list(SIZE)
    assert evaluate_predictions(metric, path).protocol['detections'] == 1


def test_classes_of_the_dataset_choose_the_categories(metric, tmp_path):
    """One of two classes: the other's objects count neither in a test nor for saved predictions."""
    dataset = {'type': 'CocoDataset', 'metainfo': {'classes': ('cat',)}}
    tested = InstanceMetric(metric.ann_file, metric=['bbox', 'segm'])
    tested.dataset_meta = {'classes': ('cat',)}
    tested.save_predictions(tmp_path / 'saved')
    tested.process({}, [sample(i, [[10, 10, 30, 30]], [0.5], [0]) for i in (1, 2, 3)])
    expected = tested.evaluate(3)
    found = evaluate_predictions(metric, tmp_path / 'saved', dataset)
    assert found.metrics == expected
    assert [row['name'] for row in found.per_class] == ['cat']


def test_nothing_there(metric, tmp_path):
    with raises_naming(MissingFileError, tmp_path / 'nowhere.json'):
        evaluate_predictions(metric, tmp_path / 'nowhere.json')
    with raises_naming(MissingFileError, tmp_path / 'instances.json'):
        evaluate_predictions(metric, tmp_path)
    with raises_naming(DataError, 'config of the dataset'):
        evaluate_predictions(SemanticMetric(), tmp_path)


def test_an_interruption_leaves_the_former_results_whole(tmp_path):
    path = tmp_path / 'new' / 'instances.json'
    found = {'id': 1, 'scores': np.ones(1), 'labels': np.zeros(1, int), 'boxes': np.ones((1, 4))}
    write_coco_results(path, [found], [3], 'both')
    before = path.read_text()
    assert json.loads(before) == [
        {'image_id': 1, 'category_id': 3, 'score': 1.0, 'bbox': [1.0, 1.0, 1.0, 1.0]}
    ]

    def interrupted():
        yield found
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco_results(path, interrupted(), [3], 'both')
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_text() == before


@pytest.fixture
def hands(tmp_path):
    """Annotations of an evaluation set in FreiHAND's layout, and predictions; no images."""
    gx, gv, px, pv = (a.astype(np.float32) for a in made_up_hands(4))
    contents = {
        'K': np.eye(3)[None].repeat(4, 0) * [[480], [480], [1]],
        'scale': np.full(4, 0.03),
        'xyz': gx,
        'verts': gv,
    }
    for name, array in contents.items():
        write(tmp_path / f'evaluation_{name}.json', array.tolist())
    dataset = {'type': 'FreiHAND', 'data_root': str(tmp_path), 'split': 'evaluation'}
    return dataset, (gx, gv, px, pv)


@pytest.mark.parametrize('form', ['folder', 'json', 'zip'])
def test_saved_hands_score_the_same_to_the_last_digit(hands, tmp_path, form):
    from fastvit_dense.datasets.freihand_files import write_predictions

    dataset, arrays = hands
    metric = HandMetric(output_dir=str(tmp_path / 'saved'))
    metric.process({}, data_samples(*arrays)[::-1])
    expected = metric.evaluate(4)
    path = tmp_path / 'saved'
    if form == 'json':
        path = path / 'pred.json'
    elif form == 'zip':
        path = write_predictions(tmp_path / 'pred.zip', arrays[2], arrays[3])
    found = evaluate_predictions({'type': 'HandMetric'}, path, dataset)
    assert found.metrics == expected
    assert found.per_sample == metric.result.per_sample
    assert found.dataset == 'FreiHAND'


def test_saved_hands_that_cannot_be_scored(hands, tmp_path):
    dataset, (_, _, px, pv) = hands
    path = tmp_path / 'pred.json'
    for content, facts in (
        ([px[:2].tolist(), pv[:2].tolist()], [4, 'joints', 'found', 2]),
        ([px.tolist(), pv[:3].tolist()], [4, 'vertices', 'found', 3]),
        ([(1000 * px).tolist(), pv.tolist()], ['joints', 'metres', 'found', 'millimetres']),
    ):
        path.write_text(json.dumps(content))
        with raises_naming(DataError, path, *facts):
            evaluate_predictions(HandMetric(), path, dataset)
    path.write_text(json.dumps([px.tolist(), pv.tolist()])[:-500])
    with raises_naming(DataError, path, 'truncated'):
        evaluate_predictions(HandMetric(), path, dataset)
