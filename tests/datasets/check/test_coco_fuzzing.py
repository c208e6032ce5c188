"""Damaged COCO annotations through the check and through scoring: errors of ours, or values."""

import json

import pytest

from fastvit_dense.datasets.check.datasets import check_config
from fastvit_dense.evaluation import InstanceMetric, evaluate_predictions
from tests.fuzzing import CASES, edited_or_damaged, fuzz


@CASES
def test_checked(coco_tree, cases):
    config = coco_tree.config()

    def read(data):
        coco_tree.ann_file.write_bytes(data)
        check_config(config, read_files=False)

    good = json.dumps(coco_tree.content).encode()
    fuzz(cases, edited_or_damaged(coco_tree.content), read)
    coco_tree.ann_file.write_bytes(good)
    assert check_config(config, read_files=False).errors == []


@CASES
@pytest.mark.parametrize('masks', ['polygons', 'run lengths'])
def test_scored(coco_tree, tmp_path, masks, cases):
    """What the check finds sound is scored, whatever else it says."""
    content = coco_tree.content
    entry = {'image_id': 7, 'category_id': 3, 'score': 0.5, 'bbox': [4, 5, 10, 12]}
    code = {'size': [40, 60], 'counts': [245, 12, 2143]}
    if masks == 'run lengths':
        for annotation in content['annotations'][:2]:
            annotation['segmentation'] = code
    (tmp_path / 'found.json').write_text(json.dumps([{**entry, 'segmentation': code}]))

    def read(data):
        coco_tree.ann_file.write_bytes(data)
        metric = InstanceMetric(ann_file=str(coco_tree.ann_file), metric=['bbox', 'segm'])
        evaluate_predictions(metric, tmp_path / 'found.json')

    fuzz(cases, edited_or_damaged(content), read)
    read(json.dumps(content).encode())
