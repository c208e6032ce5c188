"""Training as it is started on machines: killed, and by two torchrun agents; minutes long."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from tests.engine.test_workers import is_running, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@HOOKS.register_module()
class ActOnRank(Hook):
    """On one rank, within one step: send a signal to this process, or hang."""

    def __init__(self, rank: int, step: int, act: str) -> None:
        self.rank, self.step, self.act = rank, step, act

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.rank == self.rank and runner.iter + 1 == self.step:
            if self.act == 'hang':
                time.sleep(3600)
            os.kill(os.getpid(), signal.Signals[self.act])


@pytest.fixture
def environment(root_dir):
    return {**os.environ, 'PYTHONPATH': str(root_dir), 'OMP_NUM_THREADS': '1'}


def children_of(pid):
    out = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(pid)], capture_output=True, text=True)
    return [int(word) for word in out.stdout.split()]


def test_workers_are_gone_after_a_sigkill(root_dir, environment, tmp_path):
    """Mask R-CNN on the sample data with two data loading processes, killed in its first epoch."""
    log = tmp_path / 'out.txt'
    with log.open('w') as out:
        main = subprocess.Popen(
            [
                *(sys.executable, '-m', 'fastvit_dense', 'train', 'maskrcnn_fastvit_t8'),
                *('--sample', '--work-dir', str(tmp_path / 'run')),
                *('--cfg-options', 'train_dataloader.num_workers=2'),
            ],
            cwd=root_dir,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            assert wait_for(lambda: 'Epoch(train) [1][ 1/' in log.read_text(), 900), log.read_text()
            workers = [pid for pid in children_of(main.pid) if is_running(pid)]
            assert len(workers) >= 2
        finally:
            main.kill()
            main.wait()
    assert wait_for(lambda: not any(map(is_running, workers)), 5)


def two_agents(root_dir, environment, folder, config, *options):
    """Train by two torchrun agents of one rank each; their exit statuses and what they printed."""
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, '-m', 'torch.distributed.run', '--nnodes=2', '--nproc_per_node=1'),
        *('--rdzv_backend=c10d', f'--rdzv_endpoint=localhost:{port}', '--rdzv_id=test'),
        *('-m', 'fastvit_dense', 'train', str(config), '--launcher', 'pytorch'),
        *('--work-dir', str(folder / 'run'), '--cfg-options', *options),
    ]
    outputs = [folder / f'agent_{number}.txt' for number in (0, 1)]
    agents = []
    for path in outputs:
        with path.open('w') as out:
            agents.append(
                subprocess.Popen(
                    command, cwd=root_dir, env=environment, stdout=out, stderr=subprocess.STDOUT
                )
            )
    try:
        statuses = [agent.wait(timeout=400) for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    return statuses, ''.join(path.read_text() for path in outputs)


def acting(config, folder, **action):
    """A config in which one rank does something."""
    cfg = Config.fromfile(config)
    cfg.custom_hooks.append(dict(type='ActOnRank', **action))
    cfg.custom_imports.imports.append('tests.engine.test_launches')
    cfg.dump(folder / 'acting.py')
    return folder / 'acting.py'


def test_two_agents(root_dir, environment, tiny_instance, tmp_path):
    statuses, out = two_agents(root_dir, environment, tmp_path, tiny_instance, 'randomness.seed=0')
    assert statuses == [0, 0], out[-4000:]
    assert re.search(r'processes +2, by gloo; one that does not answer within 1800 s ends', out)
    assert 'batch        2 images x 2 processes' in out
    assert (tmp_path / 'run/epoch_1.pth').is_file()
    assert 'Traceback' not in out


def test_a_signal_to_one_rank_stops_both(root_dir, environment, tiny_instance, tmp_path):
    """Rank 1 gets it within step 2 of 4; both stop after step 3, and rank 0 saves."""
    config = acting(tiny_instance, tmp_path, rank=1, step=2, act='SIGUSR1')
    options = ('train_dataloader.batch_size=1', 'train_cfg.max_epochs=2')
    statuses, out = two_agents(root_dir, environment, tmp_path, config, *options)
    assert all(statuses), out[-4000:]
    assert 'a signal to another process: stopped after step 3 of 6, saved' in out
    assert (tmp_path / 'run/epoch_1.pth').is_file()  # the step was the last one of an epoch
    assert len(re.findall(r'exitcode *: *75', out)) >= 1


def test_a_rank_that_hangs(root_dir, environment, tiny_instance, tmp_path):
    config = acting(tiny_instance, tmp_path, rank=1, step=2, act='hang')
    start = time.monotonic()
    options = ('env_cfg.dist_cfg.timeout=20',)
    statuses, out = two_agents(root_dir, environment, tmp_path, config, *options)
    assert all(statuses), out[-4000:]
    assert 'ProcessError: process 0 of 2: another process did not answer within 20 s' in out
    assert 'one that does not answer within 20 s ends the run' in out
    assert time.monotonic() - start < 300
