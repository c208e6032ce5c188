import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastvit_dense.cli import check_data
from fastvit_dense.cli.common import make_parser

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'check_data.py'


@pytest.fixture
def main():
    return lambda words: check_data.main(make_parser('', 'check-data'), words)


@pytest.fixture
def config(tmp_path):
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images/a.jpg'), np.zeros((20, 30, 3), np.uint8))
    content = {
        'images': [{'id': 1, 'file_name': 'a.jpg', 'height': 20, 'width': 30}],
        'annotations': [
            {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'area': 12}
        ],
        'categories': [{'id': 1, 'name': 'cat'}],
    }
    (tmp_path / 'a.json').write_text(json.dumps(content))
    path = tmp_path / 'config.py'
    path.write_text(
        f"""
default_scope = 'mmdet'
model = dict(bbox_head=dict(type='RetinaHead', num_classes=1, in_channels=8))
train_dataloader = dict(dataset=dict(type='CocoDataset', data_root={str(tmp_path)!r},
    ann_file='a.json', data_prefix=dict(img='images'), metainfo=dict(classes=('cat',)),
    pipeline=[dict(type='LoadImageFromFile')]))
"""
    )
    return path


def test_sound_data_exits_with_0(main, config, capsys):
    assert main([str(config)]) == 0
    shown = capsys.readouterr().out
    assert '1 images, 1 annotations' in shown
    assert 'cat 1' in shown
    assert 'the data is sound' in shown


def test_errors_exit_with_1(main, config, capsys):
    content = json.loads((config.parent / 'a.json').read_text())
    content['images'].append({'id': 2, 'file_name': 'b.jpg', 'height': 20, 'width': 30})
    (config.parent / 'a.json').write_text(json.dumps(content))
    (config.parent / 'images/b.jpg').write_bytes((config.parent / 'images/a.jpg').read_bytes())
    (config.parent / 'images/a.jpg').write_bytes(b'')
    assert main([str(config), '--quick']) == 0  # training skips a few
    assert main([str(config)]) == 1
    assert 'a.jpg: expected an image, found an empty file' in capsys.readouterr().out


def test_json(main, config, capsys):
    assert main([str(config), '--json']) == 0
    assert json.loads(capsys.readouterr().out) == {
        'ok': True,
        'datasets': [
            {
                'loader': 'train',
                'source': str(config.parent / 'a.json'),
                'images': 1,
                'images_used': 1,
                'annotations': 1,
                'annotations_used': 1,
                'discarded': {},
                'per_class': {'cat': 1},
                'errors': [],
                'warnings': [],
            }
        ],
    }
    option = 'train_dataloader.dataset.ann_file=none.json'
    assert main([str(config), '--json', '--cfg-options', option]) == 1
    told = json.loads(capsys.readouterr().out)
    (error,) = told['datasets'][0]['errors']
    assert not told['ok']
    assert (error['kind'], error['where']) == ('missing', str(config.parent / 'none.json'))


def test_options_reach_the_check(main, config, capsys):
    option = 'train_dataloader.dataset.ann_file=none.json'
    assert main([str(config), '--cfg-options', option]) == 1
    assert 'none.json: no such annotation file' in capsys.readouterr().out


@pytest.mark.parametrize('tool', ['check_data.py', 'sample_data.py'])
def test_help_answers_at_once(tool):
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(TOOL.with_name(tool)), '--help'], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert f'python tools/{tool}' in done.stdout
    assert time.perf_counter() - start < 2
