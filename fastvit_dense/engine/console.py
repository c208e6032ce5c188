"""Lines on the console: one screen before the first step, then progress; the log file has the rest.

- `quiet_console` keeps the config, the environment and the list of hooks to the log file,
- `RunSummary` tells of a run before its first step,
- `ProgressHook` shows the first step, too, `ProgressTimerHook` how long the rest will take.
"""

import logging
import os
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook, IterTimerHook, LoggerHook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import distributed

from ..config.loaders import dataset_classes, datasets_of
from ..config.walk import dicts_of
from ..datasets.check.findings import DataReport, DatasetReport
from ..version import __version__
from .workers import timeout_of

WIDTH = 100
CLASSES = 20  # shown at most
# start of what mmengine's runner and its hooks tell of every run -> the log file's alone
FILE_ONLY = (
    '\n------------------------------------------------------------\nSystem environment:',
    'Config:\n',
    'Hooks will be executed in the following order:',
    'Distributed training is not used, all SyncBatchNorm',
    'Checkpoints will be saved to',
    'Exp name: ',
)
OWN_HOOKS = {
    'logger': ('LoggerHook', 'ProgressHook'),
    'timer': ('IterTimerHook', 'ProgressTimerHook'),
}


class _ForTheFile(logging.Filter):
    """Pass what is not for the log file alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or not str(record.msg).startswith(FILE_ONLY)


def quiet_console(logger: MMLogger) -> MMLogger:
    """Keep what `FILE_ONLY` names off the handlers of a logger that write to no file."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(_ForTheFile())
    return logger


def close_log(logger: MMLogger) -> None:
    """Close the files of a run's log, which mmengine keeps open until the process ends."""
    for handler in list(logger.handlers):
        if isinstance(handler, logging.FileHandler):
            logger.handlers.remove(handler)
            handler.close()


def use_progress_hooks(cfg: Config) -> None:
    """Put our hooks in place of mmengine's logger and timer of a config; others stay."""
    cfg.setdefault('default_hooks', {})
    for name, (theirs, ours) in OWN_HOOKS.items():
        cfg.default_hooks.setdefault(name, dict(type=theirs))
        hook = cfg.default_hooks[name]
        if hook and hook.get('type') == theirs:
            hook['type'] = ours


@HOOKS.register_module()
class ProgressHook(LoggerHook):
    """mmengine's `LoggerHook`, and a line for the first step of a run or a resumed run."""

    first: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Note where the run starts."""
        self.first = runner.iter

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Log the first step, then every `interval`th."""
        interval = self.interval
        if runner.iter == self.first:
            self.interval = 1
        super().after_train_iter(runner, *args, **kwargs)
        self.interval = interval


@HOOKS.register_module()
class ProgressTimerHook(IterTimerHook):
    """mmengine's `IterTimerHook` whose time to go follows from this run's steps but the first.

    The first waits for data loading and compilation. Validations and checkpoints in between
    count, as they will come again. A resumed run counts from where it was resumed.
    """

    start: tuple[int, float] | None = None  # step and time after the first step

    def before_train(self, runner: Runner) -> None:
        """Forget the time to go of the run that is resumed."""
        super().before_train(runner)
        self.start = None
        runner.message_hub.runtime_info.pop('eta', None)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Update the time of a step, and the time to go from the second step on."""
        super().after_train_iter(runner, *args, **kwargs)
        done, now = runner.iter + 1, time.time()
        if self.start is None:
            self.start = done, now
            runner.message_hub.runtime_info.pop('eta', None)
            return
        step, then = self.start
        to_go = (now - then) / (done - step) * (runner.max_iters - done)
        runner.message_hub.update_info('eta', to_go)


class RunSummary(Hook):
    """Tell of a run, in one screen, when all is built and loaded and before its first step.

    Args:
        report: Findings and counts of the check of the data.
    """

    priority = 'VERY_LOW'

    def __init__(self, report: DataReport) -> None:
        self.report = report

    def before_train(self, runner: Runner) -> None:
        """Log the screen."""
        runner.logger.info('\n' + summary(runner, self.report))


def summary(runner: Runner, report: DataReport) -> str:
    """The screen: what is trained, on what, how, and where it goes."""
    rows = [('training', f'{_name(runner)} with fastvit_dense {__version__}')]
    rows += [(', '.join(d.loaders), _data(runner, d)) for d in report.datasets]
    rows += [
        ('classes', _classes(runner.cfg, report)),
        ('batch', _batch(runner)),
        ('steps', _steps(runner)),
        ('processes', _processes(runner)),
        ('device', _device()),
        ('model', _model(runner)),
        ('weights', _weights(runner)),
        ('log', runner.logger.log_file or 'none'),
        ('checkpoints', runner.work_dir),
    ]
    lines = []
    for name, text in rows:
        if text:
            lines += textwrap.wrap(
                text,
                WIDTH,
                initial_indent=f'  {name:<12} ',
                subsequent_indent=' ' * 15,
                break_on_hyphens=False,
                break_long_words=False,
            )
    return '\n'.join(lines)


def _name(runner: Runner) -> str:
    return Path(runner.cfg.filename or 'a config').stem


def _data(runner: Runner, dataset: DatasetReport) -> str:
    used = dataset.images_used
    if dataset.loaders == ['train']:
        used = min(used, len(runner.train_dataloader.dataset))  # of which `indices` may be some
    parts = [f'{used} of {dataset.images} images']
    if dataset.annotations and dataset.unit != 'pixels':  # those are of a sample of the masks
        parts.append(f'{dataset.annotations_used} of {dataset.annotations} {dataset.unit}')
    return f'{", ".join(parts)} used: {dataset.source}'


def _classes(cfg: Config, report: DataReport) -> str:
    """Classes of the training data, with the number of their objects."""
    dataset = next(datasets_of(cfg, ['train_dataloader']), None)
    names = dataset_classes(dataset, cfg.get('default_scope')) if dataset else None
    if not names:
        return ''
    counts: Counter[str] = Counter()
    for checked in report.datasets:
        if 'train' in checked.loaders and checked.unit != 'pixels':
            counts.update(checked.per_class)
    told = [f'{name} {counts[name]}' if counts else name for name in names]
    shown = told if len(told) <= CLASSES else [*told[: CLASSES - 1], '...', told[-1]]
    return f'{len(names)}: {", ".join(shown)}'


def _batch(runner: Runner) -> str:
    loader = runner.train_dataloader
    size = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', '?')
    world = get_world_size()
    accumulated = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    text = f'{size} images'
    text += f' x {world} processes' if world > 1 else ''
    text += f' x {accumulated} steps accumulated' if accumulated > 1 else ''
    return f'{text}, {loader.num_workers} data loading processes'


def _steps(runner: Runner) -> str:
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        epoch = len(runner.train_dataloader)
        text = f'{epoch} an epoch, {loop.max_epochs} epochs, {loop.max_iters} in all'
    else:
        size = runner.train_dataloader.batch_size or 1
        epoch = max(1, len(runner.train_dataloader.dataset) // (size * get_world_size()))
        text = f'{loop.max_iters}, about {epoch} an epoch'
    return text + (f'; resumed after step {runner.iter}' if runner.iter else '')


def _device() -> str:
    if not torch.cuda.is_available():
        return f'CPU, {torch.get_num_threads()} of {os.cpu_count()} threads'
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f'{torch.cuda.get_device_name(0)}, {memory:.0f} GiB'


def _processes(runner: Runner) -> str:
    world = get_world_size()
    if world == 1:
        return ''
    return (
        f'{world}, by {distributed.get_backend()}; one that does not answer within '
        f'{timeout_of(runner.cfg)} s ends the run (env_cfg.dist_cfg.timeout)'
    )


def _model(runner: Runner) -> str:
    model = getattr(runner.model, 'module', runner.model)
    count = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = f', {trained / 1e6:.2f} M of them trained' if trained < count else ''
    return f'{type(model).__name__}, {count / 1e6:.2f} M parameters{frozen}'


def _weights(runner: Runner) -> str:
    if runner._resume and runner._has_loaded:
        return f'resumed from {runner._load_from or runner.work_dir}'
    if runner._load_from:
        return f'from {runner._load_from}'
    named = pretrained_files(runner.cfg.model)
    return f'backbone from {", ".join(named)}, the rest random' if named else 'random'


def pretrained_files(model: Any) -> list[str]:
    """List what `init_cfg` of type Pretrained, and `pretrained`, name in a model dict."""
    found = []
    for _, part in dicts_of(model):
        init = part.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            found.append(str(init.get('checkpoint')))
        if isinstance(part.get('pretrained'), str):
            found.append(part['pretrained'])
    return list(dict.fromkeys(found))
