"""The switches of `train`, as settings of a config."""

import importlib.util
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..config.loaders import evaluators_of
from ..errors import ConfigError
from .distributed import LAUNCHERS
from .schedule import is_shipped

# name of a log -> package that it needs, and mmengine's backend
LOGS = {
    'tensorboard': ('tensorboard', 'TensorboardVisBackend'),
    'wandb': ('wandb', 'WandbVisBackend'),
    'mlflow': ('mlflow', 'MLflowVisBackend'),
}
PATIENCE = 10  # validations without a better score
SMALLEST_GAIN = 1e-6  # of a score: the same again is no better one
# averages over a hundredth of the steps until then, and over 5,000 at most
EMA = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=2e-4, gamma=100)
BALANCED = {'SeededSampler': 'BalancedSampler', 'SeededInfiniteSampler': 'BalancedInfiniteSampler'}


def use_ema(cfg: Config) -> None:
    """Average the weights over the steps; checkpoints and validations are of the average."""
    if not _has_ema(cfg):
        _hooks(cfg).append(ConfigDict(EMA))


def check_averaging(cfg: Config, checkpoint: Any, filename: str) -> None:
    """Refuse to resume from averaged weights without averaging, which would lose those in training.

    Raises:
        ConfigError: The checkpoint holds an average, and the config has no `EMAHook`.
    """
    if 'ema_state_dict' in checkpoint and not _has_ema(cfg):
        raise ConfigError(
            f'{filename}: holds averaged weights, this run averages none: add --ema to go on with '
            f'both; to start anew from the average: --cfg-options load_from={filename}'
        )


def left_out(cfg: Config, stored: Mapping[str, Any]) -> list[str]:
    """Name the switches of a training that one which goes on from it has not.

    Those of averaged weights are `check_averaging`'s.

    Args:
        cfg: Of the run that goes on.
        stored: The config that the checkpoint carries.
    """
    before, now = _switches_in(stored), _switches_in(cfg._cfg_dict)
    return [switch for switch in before if before[switch] and not now[switch]]


def _switches_in(cfg: Mapping[str, Any]) -> dict[str, bool]:
    """Tell by switch whether a config trains with it."""

    def kind(*path: str) -> str:
        node: Any = cfg
        for name in (*path, 'type'):
            node = node.get(name) if isinstance(node, Mapping) else None
        return str(node).rpartition('.')[2]

    hooks = cfg.get('custom_hooks')
    kinds = {str(hook.get('type')) for hook in hooks or () if isinstance(hook, Mapping)}
    return {
        '--accumulate': 'AccumulationHook' in kinds,
        '--amp': kind('optim_wrapper') == 'AmpOptimWrapper',
        '--balance': kind('train_dataloader', 'sampler') in BALANCED.values(),
        '--early-stop': 'EarlyStopHook' in kinds,
    }


def use_early_stop(cfg: Config, patience: int = PATIENCE) -> None:
    """Stop where the score that the best checkpoint is chosen by does not rise any more.

    Args:
        cfg: The config.
        patience: Validations without a better score.

    Raises:
        ConfigError: No such score is named, or there is no validation.
    """
    if patience < 1:
        raise ConfigError(f'--early-stop: expected 1 validation or more, found {patience}')
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    monitor = checkpoint.get('save_best')
    if not isinstance(monitor, str) or monitor == 'auto' or not evaluators_of(cfg, 'val_evaluator'):
        raise ConfigError(
            f'{cfg.filename}: --early-stop: needs a validation, and the score to go by in '
            f'default_hooks.checkpoint.save_best, found {monitor!r}'
        )
    hook = ConfigDict(
        type='EarlyStopHook',
        monitor=monitor,
        rule=checkpoint.get('rule', 'greater'),
        patience=patience,
        min_delta=SMALLEST_GAIN,
    )
    others = [hook for hook in _hooks(cfg) if hook.get('type') != 'EarlyStopHook']
    cfg.custom_hooks = [*others, hook]


def use_logs(cfg: Config, names: Iterable[str]) -> None:
    """Send the numbers of a training to TensorBoard, Weights & Biases or MLflow, too.

    Raises:
        ConfigError: The package is not installed.
    """
    for name in names:
        package, backend = LOGS[name]
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f'--log {name}: needs the package {package}, which is not installed: '
                f'pip install {package}'
            )
        visualizer = cfg.setdefault('visualizer', ConfigDict(type='Visualizer'))
        backends = list(visualizer.get('vis_backends') or [])
        if any(known.get('type') == backend for known in backends):
            continue
        settings = ConfigDict(type=backend)
        if name == 'wandb':
            settings.init_kwargs = dict(project='fastvit_dense', name=Path(cfg.work_dir).name)
        elif name == 'mlflow':
            settings.exp_name = 'fastvit_dense'
        visualizer.vis_backends = [*backends, settings]


def use_accumulation(cfg: Config) -> None:
    """Step the optimizer once for as many pictures as the config states for a batch.

    That is `auto_scale_lr.base_batch_size`. A loop that is counted in steps gets as many more, so
    that training sees the same number of pictures.

    Raises:
        ConfigError: The config states no batch.
    """
    stated = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if not stated:
        raise ConfigError(
            f'{cfg.filename}: --accumulate: needs auto_scale_lr.base_batch_size, the batch that '
            'the learning rate is made for'
        )
    processes = 1
    if cfg.get('launcher', 'none') != 'none':
        processes = int(os.environ.get(LAUNCHERS[cfg.launcher][1][1], 1))
    steps = max(1, round(stated / (cfg.train_dataloader.get('batch_size', 1) * processes)))
    _hooks(cfg).append(ConfigDict(type='AccumulationHook'))  # of one step, too: see `left_out`
    if steps == 1:
        return
    cfg.optim_wrapper.accumulative_counts = steps
    loop = cfg.train_cfg
    if 'max_iters' not in loop:
        return
    for key in ('max_iters', 'val_interval'):
        if key in loop:
            loop[key] *= steps
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if not checkpoint.get('by_epoch', True) and checkpoint.get('interval', 0) > 0:
        checkpoint.interval *= steps
    for entry in [] if is_shipped(cfg.get('param_scheduler')) else cfg.get('param_scheduler') or []:
        for key in ('begin', 'end', 'T_max'):  # a shipped one is fitted to the run
            if not entry.get('by_epoch', True) and entry.get(key):
                entry[key] *= steps


def use_parts(cfg: Config) -> None:
    """Run a batch in parts where memory does not hold it; see `BatchInPartsHook`."""
    if not any(hook.get('type') == 'BatchInPartsHook' for hook in _hooks(cfg)):
        _hooks(cfg).append(ConfigDict(type='BatchInPartsHook'))


def use_balance(cfg: Config) -> None:
    """Show pictures of rare classes more often.

    Raises:
        ConfigError: The sampler is one that this cannot stand in for.
    """
    sampler = cfg.train_dataloader.get('sampler') or {}
    if sampler.get('type') not in BALANCED:
        raise ConfigError(
            f'{cfg.filename}: --balance: train_dataloader.sampler.type: expected one of '
            f'{", ".join(BALANCED)}, found {sampler.get("type")!r}'
        )
    sampler.type = BALANCED[sampler.type]


def _has_ema(cfg: Config) -> bool:
    return any(str(hook.get('type')).endswith('EMAHook') for hook in _hooks(cfg))


def _hooks(cfg: Config) -> list:
    if not cfg.get('custom_hooks'):
        cfg.custom_hooks = []
    return cfg.custom_hooks
