"""`--help` of every command line: at once, with an example."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = sorted(
    path.name
    for path in (Path(__file__).resolve().parents[2] / 'tools').glob('*.py')
    if not path.name.startswith('_')
)
EXPECTED = {
    *('train.py', 'test.py', 'evaluate.py', 'predict.py', 'benchmark.py'),
    *('convert_weights.py', 'check_data.py', 'sample_data.py', 'export.py'),
}
READ_A_CONFIG = {'train.py', 'test.py', 'evaluate.py', 'predict.py', 'export.py', 'check_data.py'}


def test_every_command_line_is_there():
    assert set(TOOLS) >= EXPECTED


@pytest.mark.parametrize('tool', TOOLS)
def test_help_answers_at_once(root_dir, tool):
    """In CPU time, which other programs on the machine do not add to."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, '-X', 'importtime', f'tools/{tool}', '--help'],
        cwd=root_dir,
        capture_output=True,
        text=True,
    )
    after = os.times()
    seconds = after.children_user + after.children_system
    seconds -= before.children_user + before.children_system
    assert done.returncode == 0
    assert seconds < 2
    assert f'python tools/{tool} ' in done.stdout, 'an example'
    imported = {line.rpartition('|')[2].strip() for line in done.stderr.splitlines()}
    assert 'argparse' in imported
    assert not imported & {'torch', 'mmengine', 'numpy', 'fastvit_dense'}
    if tool in READ_A_CONFIG:
        assert '--sample' in done.stdout
        assert '--cfg-options' in done.stdout


@pytest.mark.parametrize('tool', ['train.py', 'test.py', 'predict.py'])
def test_missing_arguments_are_named(root_dir, tool):
    done = subprocess.run(
        [sys.executable, f'tools/{tool}'], cwd=root_dir, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert 'required: config' in done.stderr
    assert 'Traceback' not in done.stderr
