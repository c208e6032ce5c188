"""The processes of a run: those that load data never outlive it, and one that is lost is told."""

import ctypes
import functools
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from torch.utils.data import DataLoader

from ..errors import ProcessError

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that a process gets when its parent ends
LOST_WORKER = re.compile(r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)')
# gloo's and NCCL's words where another process is gone, and where it does not answer
LOST_PROCESS = re.compile(
    r'Connection closed by peer|Connection reset|Broken pipe|Connection refused', re.IGNORECASE
)
SILENT_PROCESS = re.compile(r'Timed out waiting|timed out after|wait timeout', re.IGNORECASE)
TIMEOUT = 1800  # seconds that a process waits for the others


def guard_workers(loader: DataLoader) -> DataLoader:
    """Have the processes of a dataloader end with this one, and leave signals to it."""
    if loader.num_workers:
        loader.worker_init_fn = functools.partial(_start, os.getpid(), loader.worker_init_fn)
    return loader


def _start(parent: int, function: Callable[[int], None] | None, number: int) -> None:
    """First act of a data loading process."""
    end_with(parent)
    # what the terminal or the scheduler sends to all processes is the main one's to answer
    for name in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(name, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by, args=(parent,), daemon=True).start()
    if function is not None:
        function(number)


def _end_by(parent: int) -> None:
    """End when the parent says so; SIGTERM of others is ignored."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, however that ends; Linux only."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before
            os._exit(1)


@contextmanager
def explained_processes(cfg: Config) -> Iterator[None]:
    """Tell in one line of a process that died or does not answer.

    Raises:
        ProcessError: A data loading process died, or another process of training is lost.
    """
    try:
        yield
    except RuntimeError as error:
        reason = _lost(str(error), cfg)
        if reason is None:
            raise
        raise ProcessError(reason) from error


def _lost(text: str, cfg: Config) -> str | None:
    if found := LOST_WORKER.search(text):
        pids, how = found.groups()
        workers = (cfg.get('train_dataloader') or {}).get('num_workers')
        return (
            f'data loading process {pids} {how.strip().rstrip(".").split(". ")[0]}; out of memory? '
            f'fewer of them (now {workers}): --cfg-options train_dataloader.num_workers=1; '
            '--resume auto continues from the last checkpoint'
        )
    if get_world_size() == 1:
        return None
    here = f'process {get_rank()} of {get_world_size()}'
    if SILENT_PROCESS.search(text):
        return (
            f'{here}: another process did not answer within {timeout_of(cfg)} s '
            '(env_cfg.dist_cfg.timeout); --resume auto continues from the last checkpoint'
        )
    if LOST_PROCESS.search(text):
        return f'{here}: another process ended; its own last line tells why'
    return None


def timeout_of(cfg: Config) -> float:
    """Seconds that a process waits for the others."""
    return ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('timeout') or TIMEOUT
