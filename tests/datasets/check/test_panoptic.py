"""The check of panoptic data: its annotation file, its classes, its pictures."""

import json

import numpy as np
import pytest
from mmdet.datasets import CocoPanopticDataset
from PIL import Image

from fastvit_dense.datasets.check.common import DatasetCheck
from fastvit_dense.datasets.check.findings import DatasetReport
from fastvit_dense.datasets.check.panoptic import check_panoptic
from fastvit_dense.datasets.formats.panoptic import id2rgb


@pytest.fixture
def content(tmp_path):
    """One picture of a cat before the sky, written to the folder of the test."""
    (tmp_path / 'png').mkdir()
    ids = np.array([[1, 1, 2], [2, 2, 2]])
    Image.fromarray(id2rgb(ids)).save(tmp_path / 'png/1.png')
    Image.new('RGB', (3, 2)).save(tmp_path / '1.jpg')
    segments = [
        {'id': 1, 'category_id': 4, 'area': 2, 'iscrowd': 0, 'bbox': [0, 0, 2, 1]},
        {'id': 2, 'category_id': 7, 'area': 4, 'iscrowd': 0, 'bbox': [0, 0, 3, 2]},
    ]
    return {
        'images': [{'id': 1, 'file_name': '1.jpg', 'height': 2, 'width': 3}],
        'categories': [
            {'id': 4, 'name': 'cat', 'isthing': 1},
            {'id': 7, 'name': 'sky', 'isthing': 0},
        ],
        'annotations': [{'image_id': 1, 'file_name': '1.png', 'segments_info': segments}],
    }


def checked(folder, content, classes=('cat', 'sky'), depth='sample'):
    (folder / 'panoptic.json').write_text(json.dumps(content))
    built = CocoPanopticDataset(
        ann_file='panoptic.json',
        data_root=str(folder),
        data_prefix={'img': '', 'seg': 'png'},
        metainfo={'classes': classes, 'thing_classes': ('cat',), 'stuff_classes': ('sky',)},
        lazy_init=True,
    )
    report = DatasetReport(['test'])
    check_panoptic(DatasetCheck('CocoPanopticDataset', {}, built, report, depth))
    return report


def test_sound_data_is_counted(tmp_path, content):
    report = checked(tmp_path, content)
    assert not report.findings
    assert (report.images, report.annotations) == (1, 2)


def test_an_unknown_class_is_named(tmp_path, content):
    [error] = checked(tmp_path, content, ('cat', 'tree')).findings
    assert 'tree' in str(error)
    assert 'panoptic.json' in str(error)


@pytest.mark.parametrize('name', ['1.jpg', 'png/1.png'])
def test_a_missing_file_is_named_unless_annotations_alone_are_read(tmp_path, content, name):
    (tmp_path / name).unlink()
    [error] = checked(tmp_path, content).findings
    assert name in str(error)
    assert not checked(tmp_path, content, depth='annotations').findings


def test_a_broken_file_is_named(tmp_path, content):
    del content['annotations'][0]['segments_info']
    [error] = checked(tmp_path, content).findings
    assert 'segments_info' in str(error)


@pytest.mark.parametrize(
    ('field', 'change'),
    [
        ('categories[1]', lambda c: c['categories'].__setitem__(1, 7)),
        ('categories[0].isthing', lambda c: c['categories'][0].pop('isthing')),
        ('images[0]', lambda c: c['images'][0].pop('id')),
        ('annotations[0]', lambda c: c['annotations'].__setitem__(0, 3)),
        ('annotations[0].image_id', lambda c: c['annotations'][0].update(image_id='1')),
        ('annotations[0].image_id', lambda c: c['annotations'][0].update(image_id=5)),
        ('annotations[1].image_id', lambda c: c['annotations'].append(c['annotations'][0])),
        ('annotations[0].file_name', lambda c: c['annotations'][0].pop('file_name')),
        ('annotations[0].segments_info', lambda c: c['annotations'][0].update(segments_info=None)),
        (
            'annotations[0].segments_info[1].category_id',
            lambda c: c['annotations'][0]['segments_info'][1].update(category_id=5),
        ),
        (
            'annotations[0].segments_info[0].id',
            lambda c: c['annotations'][0]['segments_info'][0].pop('id'),
        ),
    ],
)
def test_a_wrong_field_is_named(tmp_path, content, field, change):
    change(content)
    [error] = checked(tmp_path, content).findings
    assert error.where.endswith('panoptic.json')
    assert error.message.startswith(f'{field}: expected')
