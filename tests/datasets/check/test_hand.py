"""What the check finds in a FreiHAND tree."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from fastvit_dense.datasets.check.findings import DatasetReport
from fastvit_dense.datasets.check.hand import check_freihand
from tests.facts import assert_names

CONFIG = Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets' / 'freihand.py'


def examine(dataset, depth='all'):
    report = DatasetReport(['train'])
    check_freihand(dataset, report, depth)
    return report


def told(report):
    return [(finding.severity, str(finding)) for finding in report.findings]


def test_sound_data(hand_tree):
    """With the datasets of the shipped config, one for each split."""
    cfg = Config.fromfile(CONFIG)
    for name, size in (('train', 4 * 11), ('val', 1), ('test', 4)):
        dataset = cfg[f'{name}_dataloader'].dataset
        dataset.update(data_root=str(hand_tree), mano='standin')
        report = examine(dataset)
        assert not report.findings
        assert report.images == report.images_used == size


def test_evaluation_without_public_annotations(hand_copy):
    for field in ('xyz', 'verts', 'mano'):
        (hand_copy / f'evaluation_{field}.json').unlink()
    messages = told(examine({'data_root': str(hand_copy), 'split': 'evaluation'}))
    assert [severity for severity, _ in messages] == ['warning']
    assert_names(messages[0][1], 'no xyz')


def change(tree, field, function):
    path = tree / f'training_{field}.json'
    values = np.array(json.loads(path.read_text()))
    path.write_text(json.dumps(function(values).tolist()))


def turn_away(xyz):
    xyz[4, 3, 2] *= -1
    return xyz


def far_right(xyz):
    xyz[2:4, :, 0] += 0.6
    return xyz


def other_bone(scale):
    scale[5] *= 1.2
    return scale


def strong_shape(mano):
    mano[7, 0, 50] = 40
    return mano


def other_tip(verts):
    verts[1, 744] += 0.002
    return verts


@pytest.mark.parametrize(
    ('field', 'function', 'severity', 'words'),
    [
        ('xyz', lambda x: 1000 * x, 'error', 'millimetres'),
        ('xyz', turn_away, 'error', 'before the camera (z > 0), found otherwise in 1 of 12'
         ' entries, first entry 4'),
        ('xyz', far_right, 'warning', 'inside the image, found otherwise in 2 of 12'
         ' entries, first entry 2'),
        ('scale', other_bone, 'warning', 'first bone, found otherwise in 1 of 12'),
        ('mano', strong_shape, 'warning', 'betas between -10 and 10'),
        ('verts', other_tip, 'warning', 'version 1 of the dataset), found otherwise in 1 of 12'),
        ('K', lambda K: K * 0, 'error', 'K of entry 0'),
    ],
)  # fmt: skip
def test_what_the_check_finds(hand_copy, field, function, severity, words):
    change(hand_copy, field, function)
    messages = told(examine({'type': 'FreiHAND', 'data_root': str(hand_copy)}))
    assert any(s == severity and words in text for s, text in messages), messages


def test_the_check_opens_the_images(hand_copy):
    rgb = hand_copy / 'training' / 'rgb'
    (rgb / '00000003.jpg').write_bytes((rgb / '00000003.jpg').read_bytes()[:500])
    cv2.imwrite(str(rgb / '00000009.jpg'), np.zeros((100, 200, 3), np.uint8))
    settings = {'type': 'FreiHAND', 'data_root': str(hand_copy), 'pipeline': []}
    report = examine(settings)
    messages = told(report)
    assert (report.images, report.annotations) == (48, 12)
    assert [severity for severity, _ in messages] == ['error', 'warning']
    assert '00000003.jpg' in messages[0][1]
    assert '00000009.jpg: expected 224 x 224 pixels, found 200 x 100' in messages[1][1]
    assert told(examine(settings, 'sample')) == []
