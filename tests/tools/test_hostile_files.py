"""Hostile files through the commands: one line, within 5 s and 1 GB of what a good file takes."""

import json
import os
import subprocess
import sys
import time
import zipfile

import pytest
import torch

from tests.datasets.test_picture_files import write_png

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]


# what AdamW remembers of a parameter, of another size
SHORT = {'step': torch.tensor(3.0), 'exp_avg': torch.ones(7), 'exp_avg_sq': torch.ones(7)}


def state_of(trained, **changes):
    content = torch.load(trained, weights_only=False)
    for place, value in changes.items():
        content[place] = {**content[place], **value} if isinstance(value, dict) else value
    return content


@pytest.mark.parametrize(
    ('changes', 'fact'),
    [
        ({'meta': {'iter': 10**400}}, 'meta.iter: expected a count'),
        pytest.param({'meta': {'epoch': 'x'}}, 'meta.epoch: expected', marks=pytest.mark.slow),
        ({'optimizer': 'x'}, 'holds no state of training that this run can go on from'),
        pytest.param({'message_hub': [1]}, 'no state of training', marks=pytest.mark.slow),
        ({'optimizer': {'state': {0: SHORT}}}, 'optimizer: exp_avg'),
    ],
    ids=['iter', 'epoch', 'optimizer', 'message_hub', 'shape'],
)
def test_resume(run_tool, tiny_instance, trained, tmp_path, changes, fact):
    torch.save(state_of(trained, **changes), tmp_path / 'bad.pth')
    done = run_tool(
        *(
            'train',
            tiny_instance,
            '--resume',
            tmp_path / 'bad.pth',
            '--work-dir',
            tmp_path / 'work',
        ),
        *('--cfg-options', 'train_cfg.max_epochs=2'),
    )
    assert f'CheckpointError: {tmp_path / "bad.pth"}: ' in done.error
    assert fact in done.error


def test_half_characters_are_printed_and_written(run_tool, tmp_path):
    """A lone surrogate, which JSON may spell, is shown as JSON spells it."""
    report = dict(task='instance', dataset='a \ud800', split='val', samples=4, protocol={})
    for name, value in (('a', 0.5), ('b', 0.25)):
        (tmp_path / name).mkdir()
        text = json.dumps({**report, 'metrics': {'x\udfff': value}})
        (tmp_path / name / 'report.json').write_text(text)
    done = run_tool('evaluate', '--compare', tmp_path / 'a', tmp_path / 'b', '--work-dir', tmp_path)
    assert done.status == 0
    assert 'x\\udfff' in done.out
    rows = json.loads((tmp_path / 'compare.json').read_text(encoding='utf-8'))['rows']
    assert rows[0]['metric'] == 'x\udfff'


@pytest.mark.parametrize(
    'text', ['[' * 3000, json.dumps({'a': 1}), '\0' * 100, '{"metrics": {"a": %s}}' % ('9' * 400)]
)
def test_reports(run_tool, tmp_path, text):
    (tmp_path / 'report.json').write_text(text)
    done = run_tool('evaluate', '--compare', tmp_path, tmp_path, '--work-dir', tmp_path)
    assert f'DataError: {tmp_path / "report.json"}: ' in done.error
    assert len(done.error.splitlines()) == 1


def test_predict_looks_at_sizes_and_links(run_tool, tiny_instance, trained, sample_data, tmp_path):
    """A bomb, a pipe and a link to itself are named and skipped; the good picture is predicted."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    write_png(folder / 'bomb.png', 20_000, 20_000, colour=0)
    os.mkfifo(folder / 'pipe.jpg')
    os.symlink('loop.jpg', folder / 'loop.jpg')
    os.symlink('.', folder / 'again')
    os.symlink(next((sample_data / 'coco/val2017').glob('*.jpg')), folder / 'good.jpg')
    done = run_tool('predict', tiny_instance, trained, folder, '--out-dir', tmp_path / 'out')
    assert done.status == 0
    skipped = [line for line in done.out.splitlines() if line.startswith('skipped: ')]
    assert [name for name in ('bomb.png', 'loop.jpg', 'pipe.jpg') if name in ''.join(skipped)] == [
        *('bomb.png', 'loop.jpg', 'pipe.jpg')
    ]
    assert len(skipped) == 3
    assert (tmp_path / 'out/good.json').is_file()


def measure(*words):
    """Run a command in a process of its own: status, seconds, megabytes, what it wrote."""
    code = 'import sys; from fastvit_dense.cli import main; main(sys.argv[1:])'
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, '-c', code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    ) as process:
        text = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.perf_counter() - start, used.ru_maxrss / 1000, text


def zip_bomb(trained, path):
    """4 GB of zeros in place of one tensor."""
    with zipfile.ZipFile(trained) as old, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            with new.open(name, 'w', force_zip64=True) as file:
                if name.endswith('data/0'):
                    for _ in range(256):
                        file.write(bytes(1 << 24))
                else:
                    file.write(old.read(name))


def repeated(trained, path):
    state = torch.load(trained, weights_only=False)['state_dict']
    state['rpn_head.rpn_conv.weight'] = torch.zeros(1).expand(10**6, 10**6)
    torch.save({'state_dict': state}, path)


@pytest.mark.slow
@pytest.mark.parametrize('damage', [zip_bomb, repeated])
def test_time_and_memory_of_checkpoints(tiny_instance, trained, sample_data, tmp_path, damage):
    damage(trained, tmp_path / 'bad.pth')
    work, picture = tmp_path / 'work', next((sample_data / 'coco/val2017').glob('*.jpg'))
    commands = {
        'test': lambda file: ('test', tiny_instance, file, '--work-dir', work),
        '--resume': lambda file: (
            *('train', tiny_instance, '--resume', file, '--work-dir', tmp_path / file.stem),
            *('--cfg-options', 'train_cfg.max_epochs=1'),
        ),
        'export': lambda file: (
            *('export', tiny_instance, file, '--format', 'onnx', '--part', 'backbone'),
            *('--out', tmp_path / 'x.onnx'),
        ),
        'convert': lambda file: (
            *('convert-weights', file, tmp_path / 'x.pth', '--to', 'fastvit_dense'),
        ),
        'predict': lambda file: ('predict', tiny_instance, file, picture, '--out-dir', work),
    }
    for name, words in commands.items():
        status, seconds, megabytes, text = measure(*words(trained))
        assert status == 0, text
        bad = measure(*words(tmp_path / 'bad.pth'))
        assert bad[0] == 1, (name, bad[3])
        assert 'Traceback' not in bad[3]
        assert bad[3].splitlines()[-1].startswith('Checkpoint'), bad[3]
        assert bad[1] < seconds + 5, name
        assert bad[2] < megabytes + 1000, name


@pytest.mark.slow
def test_time_and_memory_of_pictures(tiny_semantic, random_semantic, tmp_path):
    """30,000 x 30,000 pixels in 2.6 MB, and the switch that lets a large one through."""
    write_png(tmp_path / 'bomb.png', 30_000, 30_000)
    write_png(tmp_path / 'good.png', 300, 200)
    words = ('predict', tiny_semantic, random_semantic)
    good = measure(*words, tmp_path / 'good.png', '--out-dir', tmp_path / 'out')
    assert good[0] == 0, good[3]
    bad = measure(*words, tmp_path / 'bomb.png', '--out-dir', tmp_path / 'out')
    assert bad[0] == 1
    assert '900 megapixels' in bad[3] or '900000000 pixels' in bad[3]
    assert 'Traceback' not in bad[3]
    assert bad[1] < good[1] + 5
    assert bad[2] < good[2] + 1000
