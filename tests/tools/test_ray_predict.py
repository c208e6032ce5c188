"""Predicting on Ray: what a killed run has done stays done, and all is as `predict` writes it."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fastvit_dense import engine

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]
COUNT = 200


@pytest.fixture(scope='module')
def tool(root_dir):
    sys.path.insert(0, str(root_dir / 'tools'))
    spec = importlib.util.spec_from_file_location('ray_predict', root_dir / 'tools/ray_predict.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(root_dir / 'tools'))
    return module


@pytest.fixture(scope='module')
def pictures(photo, tmp_path_factory):
    root = tmp_path_factory.mktemp('many')
    for number in range(COUNT - 1):
        top = number % 80
        Image.fromarray(photo[top : top + 64, top : top + 64]).save(root / f'{number:03}.png')
    (root / 'bad.png').write_bytes(b'no picture')
    return root


def lines_of(folder):
    return {
        path: [json.loads(line) for line in path.read_text().splitlines()]
        for path in folder.glob('predictions-*.jsonl')
    }


def test_batches_become_files_and_are_not_done_again(tool, tmp_path):
    paths = [tmp_path / 'a' / f'{number}.png' for number in range(4)]
    out = tmp_path / 'out'
    rows = tool.todo(paths, out)
    assert [row['name'] for row in rows] == list('0123')
    batch = {name: np.array([row[name] for row in rows], dtype=object) for name in rows[0]}
    batch |= {
        'error': np.array(['', 'bad', '', ''], dtype=object),
        'prediction': np.array(['{"task": "x"}', '', '{"task": "x"}', '{"task": "x"}'], object),
        'height': np.array([4] * 4),
        'width': np.array([5] * 4),
        'labels': np.array([b'0', b'', b'2', b'3'], dtype=object),
    }
    assert tool.write(batch, str(out))['error'].tolist() == ['', 'bad', '', '']
    ((_, lines),) = lines_of(out).items()
    assert lines[1] == {
        'image': str(paths[2]),
        'file_name': '2.png',
        'height': 4,
        'width': 5,
        'task': 'x',
    }
    assert (out / '2_labels.png').read_bytes() == b'2'
    assert not (out / '1_labels.png').exists()
    assert [row['image'] for row in tool.todo(paths, out)] == [str(paths[1])]


@pytest.mark.slow
def test_killed_and_gone_on_with(trained_semantic, pictures, root_dir, tmp_path):
    pytest.importorskip('ray', reason='extra [ray] is not installed')
    out = tmp_path / 'out'
    command = [sys.executable, root_dir / 'tools/ray_predict.py', trained_semantic, pictures]
    command += ['--out-dir', out, '--batch-size', '8']
    environment = {**os.environ, 'RAY_DEDUP_LOGS': '0', 'PYTHONPATH': str(root_dir)}
    with (tmp_path / 'log').open('w') as log:
        first = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + 240
        while len(list(out.glob('predictions-*.jsonl'))) < 3:
            assert first.poll() is None, (tmp_path / 'log').read_text()
            assert time.monotonic() < until, (tmp_path / 'log').read_text()
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    time.sleep(5)  # Ray's own processes end with the one that started them
    before = {path: path.stat().st_mtime_ns for path in lines_of(out)}
    done = sum(map(len, lines_of(out).values()))
    assert 0 < done < COUNT - 1
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert second.returncode == 0, second.stderr
    assert f'{COUNT - done} pictures to predict, {done} done already' in second.stdout
    assert f'{COUNT - 1 - done} pictures predicted, 1 could not be read' in second.stdout
    assert re.search(r'skipped: \S+bad\.png: ', second.stdout)
    after = lines_of(out)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    found = {record['image']: record for records in after.values() for record in records}
    assert sum(map(len, after.values())) == len(found) == COUNT - 1
    plain = tmp_path / 'plain'
    settings = dict(pictures=False, batch_size=8, fuse=True)
    engine.predict(str(trained_semantic), None, str(pictures), str(plain), **settings)
    for line in (plain / 'predictions.jsonl').read_text().splitlines():
        record = json.loads(line)
        assert found[record['image']] == record
        name = f'{record["file_name"][:-4]}_labels.png'
        assert (out / name).read_bytes() == (plain / name).read_bytes()
