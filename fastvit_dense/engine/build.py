"""From a config to a runner."""

from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from ..checkpoints.model import fitting_weights
from ..config.building import try_building
from ..config.checks import check_channels, check_pretrained, check_settings
from .distributed import adapt_sync_bn, join_processes
from .strict_runner import StrictRunner


def build_runner(cfg: Config, loaders: tuple[str, ...], training: bool = True) -> Runner:
    """Build mmengine's runner after checking the config, and the data that it will read.

    Args:
        cfg: A config from `load_config`, with `work_dir` and `launcher` set.
        loaders: The dataloaders whose annotations are checked first.
        training: False leaves out what only training needs.
    """
    from ..datasets.check.datasets import quick_check
    from ..datasets.loading import use_checked_loading

    check_settings(cfg, loaders)
    check_channels(cfg)
    if training:
        _check_start(cfg)
    for loader in loaders:
        if cfg.get(loader):
            quick_check(cfg, loader)
    if not training:
        for key in (
            'train_dataloader',
            'train_cfg',
            'optim_wrapper',
            'param_scheduler',
            'auto_scale_lr',
            'val_dataloader',
            'val_cfg',
            'val_evaluator',
        ):
            cfg.pop(key, None)
        cfg.load_from, cfg.resume = None, False
    elif not cfg.get('val_dataloader'):
        cfg.pop('val_cfg', None)
        cfg.pop('val_evaluator', None)
    use_checked_loading(cfg)
    join_processes(cfg)
    adapt_sync_bn(cfg)
    return StrictRunner.from_cfg(cfg)


def _check_start(cfg: Config) -> None:
    """Check what training starts from: all that can be built, and files on this disk."""
    from ..checkpoints.model import load_model_state

    check_pretrained(cfg)
    model = try_building(cfg)
    path = str(cfg.get('load_from') or '')
    if path and '://' not in path:
        _existing(path)
        if model is not None:
            (load_model_state if cfg.get('resume') else fitting_weights)(model, path)


def _existing(path: str) -> str:
    from ..errors import CheckpointError

    if '://' not in path and not Path(path).expanduser().is_file():
        raise CheckpointError(f'{path}: no such checkpoint file')
    return path
