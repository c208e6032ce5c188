"""Signals while training: SIGTERM, SIGUSR1 and Ctrl-C finish the step, save, and exit."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import distributed

from ..errors import Stopped
from .loops import BATCHES_DONE
from .saving import save_to_go_on
from .workers import timeout_of

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
INTERIM = 'interim_checkpoint'  # entry of the message hub: name of a file saved within an epoch


class StopRequest:
    """A request to stop: `name` is that of the signal, '' before there was one."""

    name = ''

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals as requests; outside of the main thread, which has them, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if name == self.name == 'SIGINT':
            raise KeyboardInterrupt
        self.name = name
        if is_main_process():  # print() might be interrupted by this very handler
            again = '; Ctrl-C again ends at once' if number == signal.SIGINT else ''
            os.write(2, f'{name}: this step is finished, then saved{again}\n'.encode())


class StopHook(Hook):
    """Save and raise `Stopped` after the step in which any process was asked to stop.

    Within an epoch a file of its own is written, `iter_N.pth`, which gives way to the next
    checkpoint of an epoch. During a validation on one process it ends at once, if what is
    validated is saved; several processes finish it.

    Args:
        request: What the signals of this process asked for.
    """

    priority = 'LOWEST'  # after the checkpoint hook

    def __init__(self, request: StopRequest) -> None:
        self.request = request
        self.asked = False
        self.others: _Others | None = None

    def before_run(self, runner: Runner) -> None:
        """Prepare to ask the other processes."""
        if get_world_size() > 1:
            self.others = _Others(timeout_of(runner.cfg))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Save and stop, but for the last step of an epoch: the epoch ends first."""
        self._ask()
        if not self.asked:
            return
        hook = checkpoint_hook(runner)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            total = len(runner.train_dataloader)
            if batch_idx + 1 == total:
                return
            runner.message_hub.update_info(BATCHES_DONE, [batch_idx + 1, total])
            path = _save_interim(runner, hook)
        else:
            path = _save(runner, hook, runner.iter + 1, runner.epoch, runner.iter + 1)
        self._stop(runner, path, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop before the validation, and remove what was saved within an epoch."""
        hook = checkpoint_hook(runner)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            if self.asked:
                done = runner.epoch + 1
                path = _save(runner, hook, done, done, runner.iter)
                self._stop(runner, path, runner.iter)
            _remove_interim(runner, hook)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Stop where one process validates what is saved; a resumed run validates it again."""
        if self.others is None and self.request.name:
            hook = checkpoint_hook(runner)
            path = _path(hook, runner.epoch if hook.by_epoch else runner.iter) if hook else None
            if path and hook.last_ckpt == path:
                self._stop(runner, path, runner.iter)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Stop after a validation."""
        self._ask()
        if self.asked:
            hook = checkpoint_hook(runner)
            step = runner.epoch if hook and hook.by_epoch else runner.iter
            path = _save(runner, hook, step, runner.epoch, runner.iter)
            self._stop(runner, path, runner.iter)

    def _ask(self) -> None:
        mine = bool(self.request.name)
        self.asked |= mine if self.others is None else self.others.any(mine)

    def _stop(self, runner: Runner, path: str | None, step: int) -> None:
        if self.others is not None:  # who exits first has the launcher end the others
            self.others.wait()
        where = (
            f'saved {path}; --resume auto continues'
            if path
            else 'nothing saved: no checkpoint hook'
        )
        name = self.request.name or 'a signal to another process'
        text = f'{name}: stopped after step {step} of {runner.max_iters}, {where}'
        runner.logger.info(text)
        raise Stopped(text)


class _Others:
    """The other processes: one flag, exchanged beside each step and read in the next.

    Args:
        timeout: Seconds to wait for the others.
    """

    def __init__(self, timeout: float) -> None:
        self.group = distributed.new_group(backend='gloo', timeout=timedelta(seconds=timeout))
        self.flag = torch.zeros(1)
        self.work: Any = None

    def any(self, mine: bool) -> bool:
        """Tell, on all processes alike, whether any of them said yes in the call before."""
        found = False
        if self.work is not None:
            self.work.wait()
            found = bool(self.flag)
        self.flag = torch.tensor([float(mine)])
        self.work = distributed.all_reduce(
            self.flag, distributed.ReduceOp.MAX, group=self.group, async_op=True
        )
        return found

    def wait(self) -> None:
        """Wait until all processes are here."""
        distributed.barrier(group=self.group)


def checkpoint_hook(runner: Runner) -> CheckpointHook | None:
    """The hook that saves the checkpoints of a run."""
    return next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)


def _path(hook: CheckpointHook, step: int) -> str:
    return str(hook.file_backend.join_path(hook.out_dir, hook.filename_tmpl.format(step)))


def _save(
    runner: Runner, hook: CheckpointHook | None, step: int, epoch: int, iteration: int
) -> str | None:
    """Save a checkpoint under its usual name, if it was not just saved."""
    if hook is None:
        return None
    if not hook.by_epoch:
        step = iteration
    path = _path(hook, step)
    if hook.last_ckpt != path:
        hook._save_checkpoint_with_step(runner, step, dict(epoch=epoch, iter=iteration))
    return path


def _save_interim(runner: Runner, hook: CheckpointHook | None) -> str | None:
    """Save a checkpoint within an epoch, in place of a former one of that kind."""
    if hook is None:
        return None
    former = runner.message_hub.runtime_info.get(INTERIM)
    name = f'iter_{runner.iter + 1}.pth'
    runner.message_hub.update_info(INTERIM, name)
    meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
    path = save_to_go_on(runner, hook, name, meta, by_epoch=False)
    if is_main_process() and former and former != name:
        Path(hook.out_dir, former).unlink(missing_ok=True)
    return path


def _remove_interim(runner: Runner, hook: CheckpointHook | None) -> None:
    """Remove what was saved within an epoch once a later checkpoint is there."""
    name = runner.message_hub.runtime_info.get(INTERIM)
    if name and hook is not None and hook.last_ckpt and Path(hook.last_ckpt).name != name:
        runner.message_hub.runtime_info.pop(INTERIM)
        if is_main_process():
            Path(hook.out_dir, name).unlink(missing_ok=True)
