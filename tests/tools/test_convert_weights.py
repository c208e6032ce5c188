"""The command as a user runs it."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from fastvit_dense.backbones import FastViT, MobileViT
from fastvit_dense.hand import read_mano, save_npz, standin_mano
from tests.checkpoints.test_mobilevit import in_style
from tests.facts import assert_names

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'convert_weights.py'


@pytest.fixture
def run(run_tool):
    return partial(run_tool, 'convert_weights')


def test_help_is_quick_and_has_an_example():
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(TOOL), '--help'], capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - start
    assert 'convert_weights.py apple/fastvit_sa24 sa24.pth --to fastvit_dense' in done.stdout
    assert seconds < 2


def test_converts_and_names_the_file(run, tmp_path):
    torch.save(FastViT('t8').state_dict(), tmp_path / 'in.pth')
    done = run(tmp_path / 'in.pth', tmp_path / 'out.pth', '--to', 'apple', '--publish')
    assert done.status == 0, done.err
    assert Path(done.out.strip()).is_file()
    assert done.out.startswith(str(tmp_path / 'out-'))


def test_order_of_channels(run, tmp_path):
    """A MobileViT by Hugging Face's names, which is for BGR as far as nobody says otherwise."""
    state = MobileViT('xxs').state_dict()
    named = in_style(state, 'huggingface', linear=False)
    torch.save(named, tmp_path / 'in.pth')
    stem = state['stem.conv.weight']
    out = tmp_path / 'out.pth'
    for options, expected in (([], stem), (['--channel-order', 'RGB'], stem.flip(1))):
        done = run(tmp_path / 'in.pth', out, '--to', 'timm', *options)
        assert done.status == 0, done.err
        assert torch.equal(torch.load(out)['stem.conv.weight'], expected)


def test_mano_becomes_npz(run, tmp_path):
    save_npz(standin_mano(), tmp_path / 'in.npz')
    done = run(tmp_path / 'in.npz', tmp_path / 'out.npz', '--to', 'npz')
    assert done.out.strip() == str(tmp_path / 'out.npz'), done.err
    assert (read_mano(tmp_path / 'out.npz').v_template == standin_mano().v_template).all()


@pytest.mark.parametrize('option', ['--publish', '--ema', '--channel-order=BGR'])
def test_mano_is_not_published_nor_averaged(run, tmp_path, option):
    done = run(tmp_path / 'in.npz', tmp_path / 'x/out.npz', '--to', 'npz', option)
    assert done.status == 2
    assert_names(done.err.splitlines()[-1], 'in.npz', option.partition('=')[0], 'licence')
    assert not (tmp_path / 'x').exists()


def test_error_is_one_message(run, tmp_path):
    (tmp_path / 'in.pth').touch()
    done = run(tmp_path / 'in.pth', tmp_path / 'out.pth', '--to', 'timm')
    assert f'{tmp_path}/in.pth: the file is empty' in done.error
