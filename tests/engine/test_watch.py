"""A process of several that hangs ends itself; one that goes on, or is alone, does not."""

import time

import pytest

from fastvit_dense.engine.watch import Watch
from tests.engine.test_workers import by_two_ranks

pytestmark = pytest.mark.integration


def step_or_hang(rank):
    """Rank 0 ends a step every tenth of a second, rank 1 none; both for three times the limit."""
    watch = Watch(timeout=1, grace=1)
    with watch.watching():
        for _ in range(60):
            time.sleep(0.1)
            if rank == 0:
                watch.after_train_iter(runner=None, batch_idx=0)
    return 'went on'


def test_who_hangs_ends(tmp_path, capfd):
    assert by_two_ranks(tmp_path, step_or_hang, wanted=(0,)) == {0: 'went on'}
    (line,) = [line for line in capfd.readouterr().err.splitlines() if 'ProcessError' in line]
    assert line.startswith('ProcessError: process 1 of 2: no step ended within 1 s (env_cfg.dist_c')


def test_who_is_alone_is_not_watched():
    with Watch(timeout=0, grace=0).watching():
        time.sleep(0.2)
