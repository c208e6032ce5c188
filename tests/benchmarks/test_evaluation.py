"""The benchmark's comparisons agree; its numbers are not judged here."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.comparing import compared
from benchmarks.evaluation import compare_semantic, table
from benchmarks.evaluation_coco import (
    inputs_of_ours,
    inputs_of_pycocotools,
    score_ours,
    score_pycocotools,
)
from benchmarks.evaluation_hand import compare_hand


def test_hands_and_label_maps_agree():
    found = compare_hand(8, repeats=1)
    assert found['largest_difference'] < 1e-12
    assert found['speedup'] == found['other']['seconds'] / found['ours']['seconds']
    pytest.importorskip('mmseg')
    found = compare_semantic(1)
    assert found['largest_difference'] == 0
    assert found['over_former'] == found['former']['seconds'] / found['ours']['seconds']


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_made_up_coco_sets_agree(kind):
    ours = score_ours(inputs_of_ours(kind, 5, 20))
    other = score_pycocotools(inputs_of_pycocotools(kind, 5, 20))
    assert np.abs(np.subtract(ours, other)).max() < 1e-10
    assert 0 < ours[0] < 1


def test_table():
    measured = {'seconds': 1.0, 'peak_mb': 30.0, 'over_mb': 20.0}
    row = compared(measured, measured | {'seconds': 3.0}, 0.0, 'the others')
    coco = row | {'hotcoco': measured, 'over_hotcoco': 1.25, 'parts': {'report': 0.5}}
    timed = compared({'seconds': 1.0}, {'seconds': 2.0}, 0.0, 'a loop', {'seconds': 2.5})
    drawn = {'resamples': 1000, 'threads': 2, 'boxes': measured, 'hands': timed['other']}
    rows = dict(boxes=coco, masks=coco, paste=row, semantic=timed, hand=timed, bootstrap=drawn)
    lines = table(rows).split('\n')
    assert sum('2.5 times faster than before' in line for line in lines) == 2
    assert lines[-1] == '1000 resamples on 2 threads: boxes 1.0 s, hands 2.0 s'
    assert sum('1.25 times hotcoco alone' in line for line in lines) == 2
    assert sum('20 MB' in line for line in lines) == 3
    assert '3.0x' in lines[1]


@pytest.mark.slow
def test_command_line(root_dir, tmp_path):
    out = tmp_path / 'new' / 'evaluation.json'
    command = [sys.executable, 'tools/benchmark.py', 'evaluation', '--quick', '--out', str(out)]
    printed = subprocess.run(command, cwd=root_dir, capture_output=True, text=True, check=True)
    results = json.loads(out.read_text())
    for name in ('boxes', 'masks', 'paste', 'semantic', 'hand'):
        assert name in printed.stdout
        assert results[name]['largest_difference'] < 1e-10
    assert results['bootstrap']['boxes']['numbers'] == 3
    assert results['bootstrap']['label maps']['numbers'] == 4
    assert results['masks']['ours']['peak_mb'] > results['masks']['ours']['over_mb'] >= 0
