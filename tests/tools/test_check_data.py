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
    (config.parent / 'images/a.jpg').write_bytes(b'')
    assert main([str(config), '--quick']) == 0
    assert main([str(config)]) == 1
    assert 'a.jpg: expected an image, found an empty file' in capsys.readouterr().out


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
