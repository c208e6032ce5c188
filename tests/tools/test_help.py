"""`--help` of every command line: at once, with an example, called as the user called it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastvit_dense.cli import COMMANDS, main, run_command

TOOLS = sorted(
    path.name
    for path in (Path(__file__).resolve().parents[2] / 'tools').glob('*.py')
    if not path.name.startswith('_')
)
EXPECTED = {
    *('train.py', 'test.py', 'evaluate.py', 'predict.py', 'benchmark.py'),
    *('convert_weights.py', 'convert_data.py', 'check_data.py', 'sample_data.py', 'export.py'),
    *('browse.py',),
}
READ_A_CONFIG = {
    *('train.py', 'test.py', 'evaluate.py', 'predict.py', 'export.py', 'check_data.py'),
    *('browse.py',),
}


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
    assert not imported & {'torch', 'mmengine', 'numpy'}
    if tool in READ_A_CONFIG:
        assert '--sample' in done.stdout
        assert '--cfg-options' in done.stdout


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_is_a_tool_too(command, capsys):
    """The same help, but for how it was called."""
    tool = f'python tools/{command.replace("-", "_")}.py'
    shown = []
    for called in (f'fastvit-dense {command}', tool):
        with pytest.raises(SystemExit) as end:
            run_command(command, called, ['--help'])
        assert not end.value.code
        shown.append(re.sub(r'\s+', ' ', capsys.readouterr().out.replace(called, 'CALLED')))
    assert f'{tool.partition(" ")[2].partition("/")[2]}' in TOOLS
    assert shown[0] == shown[1]
    assert shown[0].startswith('usage: CALLED ')
    assert shown[0].count('CALLED') >= 2


def test_list_of_commands(capsys):
    with pytest.raises(SystemExit) as end:
        main(['--help'], program='python -m fastvit_dense')
    assert not end.value.code
    shown = capsys.readouterr().out
    assert shown.startswith('usage: python -m fastvit_dense COMMAND')
    assert re.findall(r'^  (\S+)  ', shown, re.MULTILINE) == [*COMMANDS]


def test_unknown_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(['trian'])
    assert end.value.code == 2
    assert "'trian'" in capsys.readouterr().err


@pytest.mark.parametrize('tool', ['train.py', 'test.py', 'predict.py'])
def test_missing_arguments_are_named(root_dir, tool):
    done = subprocess.run(
        [sys.executable, f'tools/{tool}'], cwd=root_dir, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert 'required: config' in done.stderr
    assert 'Traceback' not in done.stderr
