"""The benchmark's comparisons agree; its numbers are not judged here."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import evaluation as benchmark


def test_hands_and_label_maps_agree():
    found = benchmark.compare_hand(8, repeats=1)
    assert found['largest_difference'] < 1e-12
    assert found['speedup'] == found['other']['seconds'] / found['ours']['seconds']
    pytest.importorskip('mmseg')
    assert benchmark.compare_semantic(1)['largest_difference'] == 0


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_made_up_coco_sets_agree(kind):
    ours = benchmark.score_ours(benchmark.inputs_of_ours(kind, 5, 20))
    other = benchmark.score_pycocotools(benchmark.inputs_of_pycocotools(kind, 5, 20))
    assert np.abs(np.subtract(ours, other)).max() < 1e-10
    assert 0 < ours[0] < 1


@pytest.mark.slow
def test_command_line(root_dir, tmp_path):
    out = tmp_path / 'new' / 'evaluation.json'
    command = [sys.executable, 'tools/benchmark.py', 'evaluation', '--quick', '--out', str(out)]
    printed = subprocess.run(command, cwd=root_dir, capture_output=True, text=True, check=True)
    results = json.loads(out.read_text())
    for name in ('boxes', 'masks', 'paste', 'semantic', 'hand'):
        assert name in printed.stdout
        assert results[name]['largest_difference'] < 1e-10
    assert results['masks']['ours']['peak_mb'] > results['masks']['ours']['over_mb'] >= 0
