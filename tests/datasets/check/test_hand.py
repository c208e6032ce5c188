"""What the check finds in a FreiHAND tree."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from fastvit_dense.datasets.check.common import DEPTHS
from fastvit_dense.datasets.check.datasets import check_config, quick_check
from fastvit_dense.datasets.check.findings import DatasetReport
from fastvit_dense.datasets.check.hand import check_freihand
from fastvit_dense.errors import DataError
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


def other_size(K, width, height):
    """The camera of the same pictures, had they not been made 224 x 224."""
    return K * (np.array([width, height, 224]) / 224)[:, None]


@pytest.mark.parametrize(
    ('field', 'function', 'severity', 'words'),
    [
        ('xyz', lambda x: 1000 * x, 'error', 'millimetres? Divide by 1000'),
        ('xyz', turn_away, 'error', 'before the camera (z > 0), found otherwise in 1 of 12'
         ' entries, first entry 4'),
        ('xyz', far_right, 'warning', 'inside the image, found otherwise in 2 of 12'
         ' entries, first entry 2'),
        ('scale', other_bone, 'warning', 'first bone, found otherwise in 1 of 12'),
        ('mano', strong_shape, 'warning', 'betas between -10 and 10'),
        ('verts', other_tip, 'warning', 'version 1 of the dataset), found otherwise in 1 of 12'),
        ('K', lambda K: K * 0, 'error', 'K of entry 0'),
        ('xyz', lambda x: 100 * x, 'error', 'xyz.json: expected metres (a size of 0.05)'),
        ('xyz', lambda x: 100 * x, 'error', 'centimetres? Divide by 100'),
        ('xyz', lambda x: x / 0.0254, 'error', 'inches? Divide by 39.37'),
        ('xyz', lambda x: x / 100, 'error', 'centimetres are? Multiply by 100'),
        ('xyz', lambda x: x / 1000, 'error', 'kilometres? Multiply by 1000'),
        ('xyz', lambda x: x * np.where(np.arange(12) > 8, 100, 1)[:, None, None], 'error',
         'in 3 of 12 entries, first entry 9: centimetres?'),
        ('verts', lambda x: 1000 * x, 'error', 'verts.json: expected metres'),
        ('scale', lambda x: 100 * x, 'error', 'scale.json: expected metres'),
        ('K', lambda K: other_size(K, 448, 448), 'error', 'pictures of about 448 x 448 pixels'),
        ('K', lambda K: other_size(K, 448, 448), 'error', 'the pictures have 224 x 224'),
        ('K', lambda K: other_size(K, 640, 480), 'error', 'pictures of about 640 x 480 pixels'),
        ('K', lambda K: other_size(K, 640, 480), 'error', 'the first row of K by 0.35 '
         'and the second one by 0.467'),
        ('K', lambda K: other_size(K, 112, 112), 'error', 'pictures of about 112 x 112 pixels'),
        ('K', lambda K: K * [[[5], [5], [1]]] - [[[0, 0, 448], [0, 0, 448], [0, 0, 0]]], 'error',
         'joints inside the image'),
        ('K', lambda K: K * [[[0.1, 1, 1], [1, 0.1, 1], [1, 1, 1]]], 'error',
         'Multiply K[0][0] and K[1][1] by 10'),
        ('xyz', lambda x: np.roll(x, 1, axis=0), 'error', 'xyz.json: entries 0-11: '),
        ('xyz', lambda x: x * [-1, 1, 1], 'error', 'a mirror image'),
        ('mano', lambda m: np.roll(m, 1, axis=0), 'error', 'mano.json: entries 0-11: '),
        ('mano', lambda m: np.roll(m, 1, axis=0), 'error', 'shifted by 1'),
    ],
)  # fmt: skip
def test_what_the_check_finds(hand_copy, field, function, severity, words):
    change(hand_copy, field, function)
    messages = told(examine({'type': 'FreiHAND', 'data_root': str(hand_copy), 'mano': 'standin'}))
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
    assert (
        '00000009.jpg: expected 224 x 224 pixels as the other pictures have, found 200 x 100'
        in messages[1][1]
    )
    assert told(examine(settings, 'sample')) == []


def test_larger_pictures_with_their_own_camera(hand_copy):
    """What counts is the size that the pictures have."""
    for path in (hand_copy / 'evaluation' / 'rgb').iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (448, 448)))
    settings = {'data_root': str(hand_copy), 'split': 'evaluation', 'mano': 'standin'}
    for depth in DEPTHS:
        (finding,) = examine(settings, depth).findings
        assert (finding.severity, finding.kind) == ('error', 'camera')
        assert_names(finding.message, '224 x 224', 'the pictures have 448 x 448')
    path = hand_copy / 'evaluation_K.json'
    path.write_text(
        json.dumps(other_size(np.array(json.loads(path.read_text())), 448, 448).tolist())
    )
    assert not examine(settings).findings


def test_the_same_answer_everywhere(hand_copy):
    """From the check, before training, and from scoring, which needs no pictures."""
    change(
        hand_copy, 'mano', lambda m: m * np.r_[np.ones(3), np.full(45, 180 / np.pi), np.ones(13)]
    )
    dataset = {'type': 'FreiHAND', 'data_root': str(hand_copy), 'mano': 'standin'}
    cfg = Config({f'{name}_dataloader': {'dataset': dataset} for name in ('train', 'test')})
    (answer,) = check_config(cfg).errors
    assert_names(answer, 'training_mano.json', 'entries 0-11', 'degrees')
    for loader in ('train_dataloader', 'test_dataloader'):
        with pytest.raises(DataError, match=f'^{re.escape(answer)}$'):
            quick_check(cfg, loader)
    shutil.rmtree(hand_copy / 'training')
    with pytest.raises(DataError, match=f'^{re.escape(answer)}$'):
        quick_check(cfg, 'test_dataloader', with_files=False)


def test_without_the_file_of_the_hand(hand_copy):
    """The rest is checked; what is not is told."""
    settings = {'data_root': str(hand_copy), 'mano': 'data/none/MANO_RIGHT.pkl'}
    report = examine(settings)
    (finding,) = report.findings
    assert (finding.severity, finding.kind) == ('warning', 'not_checked')
    assert_names(str(finding), 'data/none/MANO_RIGHT.pkl', 'not laid over', 'mano.is.tue.mpg.de')
    assert report.images == 48
    broken = hand_copy / 'MANO_RIGHT.pkl'
    broken.write_bytes(b'<html>')
    (finding,) = examine({**settings, 'mano': str(broken)}).findings
    assert (finding.severity, finding.kind) == ('error', 'mano')
    report = examine({'data_root': str(hand_copy)})
    assert not report.findings
    assert 'names no `mano`' in report.notes[0]
