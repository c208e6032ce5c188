"""Training a config."""

import os
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from ..config.building import explained_building
from ..config.loaders import evaluators_of
from ..errors import ConfigError
from ..inference.strips import labels_in_strips
from ..tasks.config import load_config
from .build import build_runner, check_checkpoint
from .console import close_log
from .distributed import is_first_process
from .lone_picture import explained_lone_picture
from .loops import use_resumable_loop
from .memory import explained_memory
from .schedule import fit_schedule
from .signals import StopHook, StopRequest
from .strict_runner import StrictRunner
from .switches import (
    use_accumulation,
    use_balance,
    use_early_stop,
    use_ema,
    use_logs,
    use_parts,
)
from .watch import Watch
from .work_dir import StartOver, check_unused, claimed
from .workers import explained_processes, timeout_of


def train(
    config: str,
    *,
    sample: bool = False,
    data: str | Path | None = None,
    cfg_options: Iterable[str] = (),
    work_dir: str | Path | None = None,
    resume: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    launcher: str = 'none',
    overwrite: bool = False,
    ema: bool = False,
    early_stop: int | None = None,
    log: Iterable[str] = (),
    accumulate: Literal['stated', 'auto'] | None = None,
    balance: bool = False,
) -> Runner:
    """Train the model of a config.

    Args:
        config: Config file.
        sample: Use the embedded sample data.
        data: A folder of annotated pictures to use instead of the config's data.
        cfg_options: `key=value` strings.
        work_dir: Where logs and checkpoints go; by default `work_dirs/CONFIG`.
        resume: 'auto' for the newest checkpoint of the work dir that can be read and is finite, or
            a checkpoint file.
        amp: Automatic mixed precision.
        auto_scale_lr: Scale the learning rate from the config's batch size to this run's.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        overwrite: Delete the checkpoints that a former training left in the work dir, once all is
            there that this one needs; without it, and without `resume`, it is refused.
        ema: Average the weights; see `engine.switches` for this one and the others.
        early_stop: Stop after so many validations without a better score.
        log: Of 'tensorboard', 'wandb' and 'mlflow', where losses and scores go, too.
        accumulate: 'stated': gather the gradients of the batch that the config's learning rate is
            for; 'auto': run a batch in parts where memory does not hold it.
        balance: Show pictures of rare classes more often.

    Returns:
        The runner, trained.

    Raises:
        ConfigError, DataError, CheckpointError, CheckpointMismatch: With what is wrong and where.
        NotWrittenError: The disk is full or closed, or the work dir is gone.
        NonFiniteError: A loss, gradient or weight is NaN or infinite; see `NonFiniteHook`.
        ProcessError: A process of the run died or does not answer.
        ShortOfMemoryError: Memory does not suffice.
        Stopped: SIGTERM, SIGUSR1 or Ctrl-C asked for it; a checkpoint was saved.
    """
    cfg_options = tuple(cfg_options or ())
    cfg = load_config(
        config,
        sample=sample,
        data=data,
        cfg_options=cfg_options,
        pretrained=not resume,
        work_dir=work_dir,
    )
    cfg.launcher = launcher
    if resume:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
        if resume != 'auto':
            check_checkpoint(resume)
    if amp:
        if not torch.cuda.is_available():
            raise ConfigError(
                '--amp: needs a GPU, none was found; leave it out to train on the CPU'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if ema:
        use_ema(cfg)
    if early_stop is not None:
        use_early_stop(cfg, early_stop)
    if accumulate == 'stated':
        use_accumulation(cfg)
    elif accumulate == 'auto':
        use_parts(cfg)
    if balance:
        use_balance(cfg)
    use_logs(cfg, log)
    if auto_scale_lr:
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            raise ConfigError(f'{config}: --auto-scale-lr needs auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if overwrite:
        _check_overwrite(cfg)
    with claimed(cfg.work_dir) if is_first_process(launcher) else nullcontext():
        if not overwrite and not cfg.get('resume'):
            check_unused(cfg)
        use_resumable_loop(cfg)
        runner = build_runner(cfg, ('train_dataloader', 'val_dataloader'))
        with explained_building(cfg):
            fit_schedule(runner, cfg_options)
        if overwrite:
            runner.register_hook(StartOver(cfg))
        _run(runner)
    return runner


def _check_overwrite(cfg: Config) -> None:
    if cfg.get('resume'):
        raise ConfigError('--overwrite starts over and --resume continues: give one of them')
    restarts = os.environ.get('TORCHELASTIC_MAX_RESTARTS', '0')
    if cfg.launcher == 'pytorch' and restarts != '0':
        raise ConfigError(
            f'--overwrite: torchrun --max-restarts={restarts} starts this command again where it '
            'fails, which would delete what it saved until then; use another --work-dir, and '
            '--resume auto once it holds checkpoints (docs/training.md)'
        )


def _run(runner: StrictRunner) -> None:
    """Train until the end, or until a signal asks to stop."""
    request = StopRequest()
    watch = Watch(timeout_of(runner.cfg))
    for hook in (StopHook(request), watch):
        runner.register_hook(hook)
    kinds = [metric['type'] for metric in evaluators_of(runner.cfg, 'val_evaluator')]
    try:
        with (
            request.listening(),
            explained_processes(runner.cfg),
            explained_memory(),
            explained_lone_picture(runner),
            watch.watching(),
            labels_in_strips(runner.bare_model, kinds),
        ):
            runner.train()
    finally:
        close_log(runner.logger)
