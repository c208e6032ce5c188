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
import torch
from mmengine.config import Config
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
@pytest.mark.parametrize('task', ['instance', 'hand'])
def test_other_tasks(request, task, pictures, root_dir, tmp_path):
    """What `predict` writes, of objects and of hands; bad pictures are named."""
    pytest.importorskip('ray', reason='extra [ray] is not installed')
    model = tmp_path / 'model.pth'
    if task == 'instance':
        model = request.getfixturevalue('trained')
    else:
        content = torch.load(request.getfixturevalue('random_hand'), weights_only=True)
        config = Config.fromfile(request.getfixturevalue('tiny_hand'))
        torch.save({**content, 'meta': {'cfg': config.pretty_text}}, model)
    names = [*sorted(pictures.glob('00?.png')), pictures / 'bad.png']
    (tmp_path / 'names.txt').write_text(''.join(f'{name}\n' for name in names))
    words = [sys.executable, root_dir / 'tools/ray_predict.py', model, tmp_path / 'names.txt']
    done = subprocess.run(
        [*words, '--out-dir', tmp_path / 'out', '--batch-size', '4'],
        env={**os.environ, 'PYTHONPATH': str(root_dir)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert '10 pictures predicted, 1 could not be read' in done.stdout
    assert f'skipped: {pictures / "bad.png"}: ' in done.stdout
    found = [record for records in lines_of(tmp_path / 'out').values() for record in records]
    settings = dict(pictures=False, batch_size=8, fuse=True)
    engine.predict(str(model), None, str(tmp_path / 'names.txt'), str(tmp_path), **settings)
    expected = [json.loads(x) for x in (tmp_path / 'predictions.jsonl').read_text().splitlines()]
    for record, other in zip(sorted(found, key=lambda r: r['image']), expected, strict=True):
        assert (record['image'], record['task']) == (other['image'], task)
        if task == 'hand':
            np.testing.assert_allclose(record['vertices'], other['vertices'], atol=1e-5)
        else:
            for one, same in zip(record['instances'], other['instances'], strict=True):
                np.testing.assert_allclose(one['score'], same['score'], atol=1e-4)


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
