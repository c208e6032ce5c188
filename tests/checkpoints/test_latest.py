"""Which checkpoint of a folder training goes on from."""

import os

import pytest
import torch
from torch import nn

from fastvit_dense.checkpoints.latest import newest_whole
from tests.facts import assert_names


class Masked(nn.Linear):
    """Inf belongs to one of its buffers."""

    def __init__(self):
        super().__init__(2, 2)
        self.register_buffer('mask', torch.tensor([0.0, float('-inf')]))


@pytest.fixture
def save(tmp_path):
    def save(name, iteration, written=None, **changes):
        meta = {'iter': iteration, 'epoch': 0}
        if written is not None:
            meta['unix_time'] = written
        model = nn.Linear(2, 2)
        moments = {0: {'step': torch.tensor(3.0), 'exp_avg': torch.ones(4)}}
        content = {'meta': meta, 'state_dict': model.state_dict(), 'optimizer': {'state': moments}}
        content.update(changes)
        torch.save({k: v for k, v in content.items() if v is not None}, tmp_path / name)
        return tmp_path / name

    return save


def found(tmp_path, model=None):
    path, skipped = newest_whole(sorted(tmp_path.glob('*.pth')), model)
    return path and path.name, {path.name: reason for path, reason in skipped.items()}


def test_the_iteration_counts_not_the_name_nor_the_time_stamp(save, tmp_path):
    newest = save('a.pth', 30)
    save('b.pth', 4)
    save('epoch_9.pth', 20)
    os.utime(newest, (0, 0))
    assert found(tmp_path) == ('a.pth', {})


def test_what_was_written_last_counts_most(save, tmp_path):
    """Someone went back to iteration 10: what had been written after it is of another training."""
    save('iter_10.pth', 10, written=1000.5)
    save('iter_20.pth', 20, written=1001.5)
    save('iter_15.pth', 15, written=1002.5)
    assert found(tmp_path) == ('iter_15.pth', {})
    save('iter_40.pth', 40)  # of mmengine, or of an older version
    assert found(tmp_path) == ('iter_15.pth', {})


def test_files_that_cannot_be_read(save, tmp_path):
    save('iter_1.pth', 1)
    whole = save('iter_2.pth', 2).read_bytes()
    save('iter_3.pth', 3).write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'iter_4.pth').touch()
    name, skipped = found(tmp_path)
    assert name == 'iter_2.pth'
    assert_names(skipped['iter_3.pth'], 'truncated')
    assert_names(skipped['iter_4.pth'], 'empty')


def test_weights_alone(save, tmp_path):
    save('iter_1.pth', 1)
    save('iter_2.pth', 2, optimizer=None)
    save('iter_3.pth', 3, meta=None)
    name, skipped = found(tmp_path)
    assert name == 'iter_1.pth'
    assert_names(skipped['iter_2.pth'], 'no state of the optimizer')
    assert_names(skipped['iter_3.pth'], 'meta.iter')


def test_files_that_are_not_finite(save, tmp_path):
    """In the weights, in those that are not averaged, in the optimizer."""
    save('iter_1.pth', 1)
    broken = {'weight': torch.tensor([[1.0, 2.0], [3.0, float('inf')]]), 'bias': torch.zeros(2)}
    save('iter_2.pth', 2, state_dict=broken)
    averaged = {f'module.{name}': tensor for name, tensor in broken.items()}
    save('iter_3.pth', 3, ema_state_dict=averaged)
    moments = {'state': {0: {'exp_avg': torch.tensor([float('nan')])}}}
    save('iter_4.pth', 4, optimizer=moments)
    name, skipped = found(tmp_path)
    assert name == 'iter_1.pth'
    for number in (2, 3):
        assert_names(skipped[f'iter_{number}.pth'], 1, 'NaN or Inf', 'weight')
    assert_names(skipped['iter_4.pth'], "optimizer's state", 'NaN')


def test_inf_where_it_belongs(save, tmp_path):
    save('iter_1.pth', 1, state_dict=Masked().state_dict())
    assert found(tmp_path, Masked()) == ('iter_1.pth', {})
    state = Masked().state_dict()
    state['mask'][0] = float('nan')
    save('iter_2.pth', 2, state_dict=state)
    name, skipped = found(tmp_path, Masked())
    assert name == 'iter_1.pth'
    assert_names(skipped['iter_2.pth'], 'mask')


def test_nothing_is_left(save, tmp_path):
    assert found(tmp_path) == (None, {})
    save('iter_4.pth', 4).write_bytes(b'PK\x03\x04')
    name, skipped = found(tmp_path)
    assert name is None
    assert_names(skipped['iter_4.pth'], 'truncated')
