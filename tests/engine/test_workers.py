"""Data loading processes: none outlives the main one, and a dead one is told."""

import multiprocessing
import os
import signal
import time
from datetime import timedelta
from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils.data import DataLoader, Dataset

from fastvit_dense import engine
from fastvit_dense.datasets.loading import LoadCheckedImage
from fastvit_dense.engine.signals import _Others
from fastvit_dense.engine.workers import explained_processes, guard_workers, timeout_of
from fastvit_dense.errors import DataError, ProcessError

pytestmark = pytest.mark.integration
NO_VALIDATION = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')


class Numbers(Dataset):
    """Its samples tell the process that loads them, and fill the queue to the main one."""

    def __len__(self):
        return 64

    def __getitem__(self, index):
        time.sleep(0.01)
        return os.getpid(), bytes(1_000_000)


def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] not in ('Z', 'X')
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def load_and_hang(pids, guarded):
    """A main process: it takes some samples, then its workers wait to hand over more."""
    loader = DataLoader(
        Numbers(), batch_size=None, num_workers=2, multiprocessing_context='fork', prefetch_factor=8
    )
    batches = iter(guard_workers(loader) if guarded else loader)
    pids.put({next(batches)[0] for _ in range(6)})
    signal.pause()


def workers_of(guarded):
    context = multiprocessing.get_context('fork')
    pids = context.Queue()
    main = context.Process(target=load_and_hang, args=(pids, guarded))
    main.start()
    found = pids.get(timeout=60)
    assert len(found) == 2
    assert all(map(is_running, found))
    return main, found


def test_workers_end_with_a_killed_main_process():
    main, pids = workers_of(guarded=True)
    os.kill(main.pid, signal.SIGKILL)
    main.join()
    assert wait_for(lambda: not any(map(is_running, pids)))


def test_signals_to_all_processes_are_the_main_ones_to_answer():
    """As Ctrl-C and schedulers send them; the workers go on, and end with the main process."""
    main, pids = workers_of(guarded=True)
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        for pid in pids:
            os.kill(pid, number)
    time.sleep(0.5)
    assert all(map(is_running, pids))
    os.kill(main.pid, signal.SIGTERM)
    main.join()
    assert wait_for(lambda: not any(map(is_running, pids)))


def test_the_main_process_can_end_its_workers():
    loader = DataLoader(Numbers(), batch_size=None, num_workers=1, multiprocessing_context='fork')
    batches = iter(guard_workers(loader))
    pid = next(batches)[0]
    (worker,) = [child for child in multiprocessing.active_children() if child.pid == pid]
    worker.terminate()
    worker.join(5)
    assert worker.exitcode == 0


# --- a worker that dies ------------------------------------------------------------------------


@HOOKS.register_module()
class KillWorker(Hook):
    """Kill a data loading process, as the kernel does where memory runs out."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            (worker, *_) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)


def test_a_dead_worker_is_one_line(tiny_instance, tmp_path):
    config = tmp_path / 'killed.py'
    config.write_text(
        f'_base_ = {str(tiny_instance)!r}\n'
        "custom_hooks = [dict(type='SeedHook'), dict(type='KillWorker')]\n"
        'train_dataloader = dict(num_workers=2)\n'
    )
    with pytest.raises(ProcessError) as raised:
        engine.train(config, cfg_options=NO_VALIDATION, work_dir=tmp_path)
    text = str(raised.value)
    assert '\n' not in text
    assert 'data loading process ' in text
    assert 'killed by signal: Killed' in text or 'exited unexpectedly' in text
    assert 'train_dataloader.num_workers=1' in text
    assert 'now 2' in text


# --- broken pictures, counted together ---------------------------------------------------------


class Broken(Dataset):
    """Pictures that are not there: each worker meets every other one."""

    def __init__(self, record, count):
        self.load = LoadCheckedImage(skip_broken=10, record=record and str(record))
        self.count = count

    def __len__(self):
        return 2 * self.count  # each one twice

    def __getitem__(self, index):
        self.load(dict(img_path=f'missing_{index % self.count}.jpg'))
        return index


def read_all(record, count):
    loader = DataLoader(
        Broken(record, count), batch_size=1, num_workers=2, multiprocessing_context='fork'
    )
    return sum(len(batch) for batch in loader)


def test_broken_pictures_are_counted_over_all_workers(tmp_path, capfd):
    assert read_all(tmp_path / 'ten.txt', 10) == 20
    assert len(set((tmp_path / 'ten.txt').read_text().splitlines())) == 10
    assert read_all(None, 12) == 24  # each for itself: none meets more than ten
    # both workers may be beyond the limit; which error arrives first is not determined
    with pytest.raises(
        DataError, match=r'^missing_\d+.jpg: .* \(broken image 1[12], more than the 10'
    ):
        read_all(tmp_path / 'twelve.txt', 12)


# --- several processes -------------------------------------------------------------------------


def test_time_limit():
    assert timeout_of(Config(dict())) == 1800
    assert timeout_of(Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl'))))) == 1800
    assert timeout_of(Config(dict(env_cfg=dict(dist_cfg=dict(timeout=60))))) == 60


def test_other_errors_stay_as_they_are():
    error = RuntimeError('Timed out waiting 1000ms')  # one process waits for no other
    with pytest.raises(RuntimeError) as raised, explained_processes(Config(dict())):
        raise error
    assert raised.value is error


# --- several ranks -----------------------------------------------------------------------------


def as_rank(rank, folder, function, answers):
    """Join two processes over gloo, with a time limit of two seconds, and send what they find."""
    torch.distributed.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=2),
    )
    answers.put((rank, function(rank)))
    answers.close()
    answers.join_thread()
    os._exit(0)


def by_two_ranks(folder, function, wanted=(0, 1)):
    """What a function returns on each of two ranks."""
    context = multiprocessing.get_context('fork')
    answers = context.Queue()
    ranks = [
        context.Process(target=as_rank, args=(rank, folder, function, answers), daemon=True)
        for rank in (0, 1)
    ]
    for rank in ranks:
        rank.start()
    found = dict(answers.get(timeout=60) for _ in wanted)
    for rank in ranks:
        rank.kill()
        rank.join()
    return found


def ask_for_six_steps(rank):
    others = _Others(timeout=10)
    found = [others.any(mine=rank == 1 and step == 2) for step in range(6)]
    others.wait()
    return found


def test_all_ranks_hear_of_a_signal_in_the_same_step(tmp_path):
    """One of them got it, within its third step."""
    expected = [False, False, False, True, False, False]
    assert by_two_ranks(tmp_path, ask_for_six_steps) == {0: expected, 1: expected}


def lose_the_other(rank, hang):
    if rank == 1 and hang:
        signal.pause()
    if rank == 1:
        os._exit(1)
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(timeout=2))))
    start = time.monotonic()
    try:
        with explained_processes(cfg):
            for _ in range(3):
                torch.distributed.all_reduce(torch.zeros(1))
    except ProcessError as error:
        return str(error), time.monotonic() - start
    return 'no error', 0


def test_a_rank_that_hangs_ends_the_run(tmp_path):
    found = by_two_ranks(tmp_path, partial(lose_the_other, hang=True), wanted=(0,))
    text, seconds = found[0]
    assert text.startswith('process 0 of 2: another process did not answer within 2 s (env_cfg.')
    assert '\n' not in text
    assert seconds < 10


def test_a_rank_that_ends_ends_the_run(tmp_path):
    found = by_two_ranks(tmp_path, partial(lose_the_other, hang=False), wanted=(0,))
    assert found[0][0].startswith('process 0 of 2: another process ended')
