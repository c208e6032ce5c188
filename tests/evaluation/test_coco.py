"""Annotation files that cannot be scored against, one error each."""

import json
import math

import pytest

from fastvit_dense.errors import DataError, MissingFileError
from fastvit_dense.evaluation import InstanceMetric
from fastvit_dense.evaluation.coco import load_annotations
from tests.facts import raises_naming

from .test_instance import small_truth, write


@pytest.mark.parametrize(
    ('change', 'facts'),
    [
        (lambda t: t.pop('images'), ['images', 'found', 'only', 'categories']),
        (lambda t: t['images'][1].pop('height'), ['images[1]', 'height']),
        (lambda t: t['images'].append(t['images'][0]), ['images', 'id 1', 2]),
        (lambda t: t['annotations'][0].update(image_id=77), ['annotations[0]', 'image_id', 77]),
        (
            lambda t: t['annotations'][1].update(category_id='x'),
            ['annotations[1]', 'category_id', "'x'"],
        ),
        (
            lambda t: t['annotations'][2].update(bbox=[1, 2, 3]),
            ['annotations[2]', 'bbox', 'found', [1, 2, 3]],
        ),
        (
            lambda t: t['annotations'][2].update(area=math.nan),
            ['annotations[2]', 'area', 'found', 'nan'],
        ),
        (lambda t: t['annotations'][0].pop('id'), ['annotations[0]', 'id']),
    ],
)
def test_broken_annotation_files(tmp_path, change, facts):
    truth = small_truth()
    change(truth)
    path = write(tmp_path / 'truth.json', truth)
    with raises_naming(DataError, path, *facts):
        load_annotations(path)


@pytest.mark.parametrize(
    ('mask', 'facts'),
    [
        (None, ['polygons', 'RLE', 'found', None]),
        ([], ['polygons', 'RLE', 'found', []]),
        ([[1, 2, 3]], ['segmentation[0]', 3, 'found', 3]),
        ([[1, 2, 3, 4]], ['segmentation[0]', 3, 'found', 4]),  # pycocotools takes it for a box
        ([1, 2, 3, 4], ['segmentation[0]', 'found', 1]),
        ([[1, 2, 3, math.inf]], ['segmentation[0]', 'found', [1, 2, 3, math.inf]]),
        ({'size': [60, 80], 'counts': [4, 5]}, ['run-length', 4800, 'found', 9]),
        ({'size': [80, 60], 'counts': [4800]}, [[60, 80], 'found', [80, 60]]),
        ({'size': [60, 80], 'counts': 'abc'}, ['run-length', 4800, 'found']),
    ],
)
def test_broken_true_masks(tmp_path, mask, facts):
    truth = small_truth()
    truth['annotations'][1]['segmentation'] = mask
    ann_file = write(tmp_path / 'truth.json', truth)
    InstanceMetric(ann_file, metric='bbox')
    with raises_naming(DataError, ann_file, 'id 2', *facts):
        InstanceMetric(ann_file, metric=['bbox', 'segm'])


def test_missing_and_truncated_annotation_files(tmp_path):
    with raises_naming(MissingFileError, tmp_path / 'nowhere.json'):
        InstanceMetric(str(tmp_path / 'nowhere.json'))
    path = tmp_path / 'cut.json'
    path.write_text(json.dumps(small_truth())[:-20])
    with raises_naming(DataError, path, 'JSON'):
        InstanceMetric(str(path))
