"""Batches that memory does not hold: allocations that really fail, and what becomes of the step."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.engine.memory import AT_ONCE, explained_memory, is_short_of_memory
from fastvit_dense.errors import ShortOfMemoryError
from tests.facts import raises_naming

from .small import Numbers, Small, assert_same_end, small_config, small_runner
from .test_switches import cut_and_resumed

HOOKS = [dict(type='BatchInPartsHook')]
HUGE = 2**50  # bytes, which no allocator gives


class Hungry(Small):
    """A model that asks for more memory than there is where it sees more than `holds` pictures.

    Its loss is a mean over the pictures.
    """

    def __init__(self, holds, norm=False):
        super().__init__()
        self.holds, self.seen = holds, []
        if not norm:
            self.body = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))

    def forward(self, inputs, mode='tensor'):
        if mode == 'loss':
            self.seen.append([float(row[0]) for row in inputs])
        out = self.body(torch.stack(inputs))
        if len(inputs) > self.holds:
            torch.empty(HUGE, dtype=torch.uint8)
        return {'loss_a': (out - 3).square().mean(1).mean(), 'acc': out.mean()}


class Eight(Numbers):
    """Two batches of four."""

    def __len__(self):
        return 8


SETTINGS = dict(
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        dataset=Eight(),
        sampler=dict(type='SeededSampler', shuffle=True),
    )
)


def run(folder, model, at_once=None, **settings):
    """A training of four epochs of two batches of four; the model."""
    folder.mkdir()
    runner = small_runner(small_config(folder), 4, HOOKS, **SETTINGS, **settings)
    runner.model = Hungry(model) if isinstance(model, int) else model
    if at_once:
        runner.message_hub.update_info(AT_ONCE, at_once)
    runner.train()
    assert 'train_step' not in vars(runner.model)
    return runner.model


def end(folder):
    return load_checkpoint_file(folder / 'epoch_4.pth')


def assert_close(one, other):
    for name, value in one['state_dict'].items():
        torch.testing.assert_close(value, other['state_dict'][name], rtol=1e-5, atol=1e-6)


def _told(capfd):
    """Lines of the log that tell of memory."""
    shown = ''.join(capfd.readouterr()).splitlines()
    return [line.partition('WARNING - ')[2] for line in shown if 'out of memory' in line]


def test_gradients_are_those_of_the_whole_batch(tmp_path, capfd):
    """Batches of four: too much, two are, one is not; the same pictures in the same order."""
    whole = run(tmp_path / 'whole', 4)
    capfd.readouterr()
    parts = run(tmp_path / 'parts', 1)
    assert_close(end(tmp_path / 'whole'), end(tmp_path / 'parts'))
    told = _told(capfd)
    assert [line[:63] for line in told] == [
        'out of memory with 4 pictures at once: from here on 2 at a time',
        'out of memory with 2 pictures at once: from here on 1 at a time',
    ]
    assert 'BatchNorm' not in told[0]
    pictures = [number for part in parts.seen if len(part) == 1 for number in part]
    assert pictures == [number for batch in whole.seen for number in batch]


def test_with_accumulated_gradients(tmp_path):
    """What waits for a step is not lost where a part of the next batch fails."""
    settings = dict(
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2),
    )
    run(tmp_path / 'whole', 4, **settings)

    class Later(Hungry):
        """Short of memory from the second batch on."""

        def forward(self, inputs, mode='tensor'):
            self.holds = 4 if not self.seen else 2
            return super().forward(inputs, mode)

    run(tmp_path / 'parts', Later(4), **settings)
    assert_close(end(tmp_path / 'whole'), end(tmp_path / 'parts'))


def test_a_try_that_failed_leaves_nothing(tmp_path, capfd):
    """BatchNorm's statistics and dropout's numbers are those of a run that never tried."""
    run(tmp_path / 'tried', Hungry(2, norm=True))
    assert 'BatchNorm that trains takes its statistics of 2' in _told(capfd)[0]
    run(tmp_path / 'knew', Hungry(2, norm=True), at_once=2)
    assert_same_end(tmp_path / 'tried', tmp_path / 'knew')


def test_a_resumed_run_ends_as_one_that_was_not_interrupted(tmp_path, monkeypatch):
    """It takes as many pictures at once, though the step that failed is not done again."""
    monkeypatch.setattr('tests.engine.small.Small', lambda: Hungry(2, norm=True))
    small_runner(small_config(tmp_path / 'whole'), 4, HOOKS, **SETTINGS).train()
    cut_and_resumed(tmp_path / 'broken', 4, HOOKS, **SETTINGS)
    assert_same_end(tmp_path / 'whole', tmp_path / 'broken')


def test_one_picture_that_does_not_fit(tmp_path):
    with raises_naming(ShortOfMemoryError, 'one picture at a time', 'smaller'):
        run(tmp_path / 'none', 0)


def test_errors_that_tell_of_memory():
    """As NumPy and PyTorch raise them here."""
    for allocate in (lambda: np.empty(HUGE * 8), lambda: torch.empty(HUGE, dtype=torch.uint8)):
        with pytest.raises((MemoryError, RuntimeError)) as found:
            allocate()
        assert is_short_of_memory(found.value)
        with raises_naming(ShortOfMemoryError, '--accumulate auto'), explained_memory():
            allocate()
    with pytest.raises(RuntimeError, match='inconsistent'), explained_memory():
        torch.zeros(2) @ torch.zeros(3)


LIMITED = """
import resource, sys
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from fastvit_dense.engine.training import train

@HOOKS.register_module()
class Limit(Hook):
    '''From its first step on the process may grow by so many megabytes.'''
    def size(self):
        line = next(x for x in open('/proc/self/status') if x.startswith('VmSize'))
        return int(line.split()[1]) * 1024
    def before_train(self, runner):
        most = self.size() + int(sys.argv[3]) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

train(sys.argv[1], work_dir=sys.argv[2], accumulate='auto', cfg_options=[
    'train_dataloader.batch_size=6', 'train_cfg.max_iters=2', 'custom_hooks.0.type=SeedHook',
    'model.data_preprocessor.size=(256,256)', 'custom_hooks.1.type=Limit',
    'train_dataloader.dataset.pipeline.4.crop_size=(256,256)',
    'train_dataloader.dataset.pipeline.3.scale=(512,384)',
])
"""


@pytest.mark.slow
def test_a_segmentor_in_a_process_of_little_memory(tiny_semantic, tmp_path):
    """A limit of the kernel's: the real network trains in parts, and finishes."""
    words = (sys.executable, '-c', LIMITED, str(tiny_semantic), str(tmp_path), '500')
    # blocks of more are given back to the kernel, which counts addresses, not memory in use
    env = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536'}
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert 'out of memory with 6 pictures at once' in done.stdout + done.stderr
    assert (tmp_path / 'iter_2.pth').is_file()
