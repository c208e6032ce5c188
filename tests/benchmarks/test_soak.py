"""The measuring of what grows, by things that do; and a few rounds of training and testing."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak import MEASURED, WARM, held, slope, soak, soak_table

pytestmark = pytest.mark.integration


def test_what_is_held_is_measured():
    before = held()
    files = [os.open(__file__, os.O_RDONLY) for _ in range(5)]
    memory = bytearray(b'x') * (64 << 20)
    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    shared = Path('/dev/shm/soak_test')
    shared.write_bytes(bytes(8 << 20))
    try:
        after = held()
    finally:
        shared.unlink()
        child.communicate(b'\n')
        for file in files:
            os.close(file)
    assert after['open_files'] >= before['open_files'] + 5
    assert after['processes'] == before['processes'] + 1
    assert after['memory_mb'] > before['memory_mb'] + len(memory) / 2**20 - 8
    assert after['shm_mb'] > before['shm_mb'] + 4


def test_garbage_is_not_held():
    """A ring that nobody reaches and that has a file open, as a runner has that has ended."""
    before = held()

    class Ring:
        def __init__(self):
            self.me, self.file = self, io.FileIO(__file__)

    Ring()
    assert held()['open_files'] == before['open_files']


def test_slope():
    assert slope([1.0, 3.0, 5.0, 7.0]) == pytest.approx(2)
    assert slope([4.0, 4.0, 4.0]) == 0
    assert slope([4.0]) == 0


@pytest.mark.slow  # a minute and more: each round trains and tests
def test_rounds_hold_no_more_files_nor_processes(tiny_semantic):
    """Four rounds, with data loading processes; memory is a matter of longer runs."""
    options = ['train_dataloader.num_workers=1', 'val_dataloader.num_workers=1']
    results = soak([str(tiny_semantic)], seconds=0, sample=False, cfg_options=options)
    assert len(results['rounds']) == WARM + 2
    assert results['growth'].keys() == set(MEASURED)
    assert abs(results['growth']['open_files']) <= 1
    assert results['growth']['processes'] == 0
    assert '4 rounds of ' in soak_table(results)
