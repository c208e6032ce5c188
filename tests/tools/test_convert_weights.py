"""The command as a user runs it."""

import subprocess
import sys
import time
from pathlib import Path

import torch

from fastvit_dense.backbones import FastViT

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'convert_weights.py'


def run(*args):
    command = [sys.executable, str(TOOL), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_is_quick_and_has_an_example():
    start = time.perf_counter()
    done = run('--help')
    seconds = time.perf_counter() - start
    assert done.returncode == 0
    assert 'convert_weights.py apple/fastvit_sa24 sa24.pth --to fastvit_dense' in done.stdout
    assert seconds < 2


def test_converts_and_names_the_file(tmp_path):
    torch.save(FastViT('t8').state_dict(), tmp_path / 'in.pth')
    done = run(tmp_path / 'in.pth', tmp_path / 'out.pth', '--to', 'apple', '--publish')
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_file()
    assert done.stdout.startswith(str(tmp_path / 'out-'))


def test_error_is_one_message(tmp_path):
    (tmp_path / 'in.pth').touch()
    done = run(tmp_path / 'in.pth', tmp_path / 'out.pth', '--to', 'timm')
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert f'{tmp_path}/in.pth: the file is empty' in done.stderr
