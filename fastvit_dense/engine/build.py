"""From a config to a runner: all that can be told is checked first, then the runner is built."""

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from ..checkpoints.model import fitting_weights, load_model_state
from ..checkpoints.published import PUBLISHED, published_name
from ..checkpoints.reader import load_checkpoint_file
from ..checkpoints.shards import find_in_folder
from ..config.building import explained_building, try_building
from ..config.channels import check_channels
from ..config.checks import check_pretrained, check_settings, check_test_cfg
from ..config.classes import moved_class
from ..config.stored import stored_settings
from ..datasets.bit_depth import set_image_bits
from ..datasets.check.datasets import quick_check
from ..datasets.check.findings import DataReport
from ..datasets.loading import BROKEN_IMAGES, use_checked_loading
from ..errors import CheckpointError, CheckpointMismatch
from .console import RunSummary, use_progress_hooks
from .distributed import adapt_sync_bn, join_processes
from .multi_scale import check_sampled_sizes
from .strict_runner import StrictRunner
from .switches import check_averaging, left_out
from .work_dir import latest_checkpoint

OF_TRAINING = (
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'val_dataloader',
    'val_cfg',
    'val_evaluator',
)


def build_runner(cfg: Config, loaders: tuple[str, ...], training: bool = True) -> StrictRunner:
    """Build mmengine's runner after checking the config, and the data that it will read.

    Args:
        cfg: A config from `load_config`, with `work_dir` and `launcher` set; it is adapted to the
            machine and to what it is built for.
        loaders: The dataloaders whose annotations are checked first.
        training: False leaves out what only training needs.

    Returns:
        The runner. What it builds later, in `train` or `test`, is explained as well.

    Raises:
        ConfigError, DataError, CheckpointError, CheckpointMismatch: With what is wrong and where.
    """
    check_settings(cfg, loaders)
    check_channels(cfg)
    if any(cfg.get(loader) for loader in loaders if loader != 'train_dataloader'):
        check_test_cfg(cfg)
    if training:
        check_sampled_sizes(cfg)
        _check_start(cfg)
    there = [loader for loader in loaders if cfg.get(loader)]
    report = quick_check(cfg, *there) if there else DataReport()
    if not training:
        for key in OF_TRAINING:
            cfg.pop(key, None)
        cfg.load_from, cfg.resume = None, False
    elif not cfg.get('val_dataloader'):
        cfg.pop('val_cfg', None)
        cfg.pop('val_evaluator', None)
    set_image_bits(cfg)
    use_checked_loading(cfg)
    use_progress_hooks(cfg)
    join_processes(cfg)
    if training and is_main_process():
        Path(cfg.work_dir, BROKEN_IMAGES).unlink(missing_ok=True)
    adapt_sync_bn(cfg)
    with explained_building(cfg):
        runner = StrictRunner.from_cfg(cfg)
    check_channels(cfg, runner.bare_model)
    if training:
        runner.register_hook(RunSummary(report))
    return runner


def _check_start(cfg: Config) -> None:
    """Check what training starts from: all that can be built, and files on this disk."""
    check_pretrained(cfg)
    model = try_building(cfg)
    check_channels(cfg, model)
    if cfg.get('resume') and not cfg.get('load_from'):
        found = latest_checkpoint(cfg, model)
        cfg.resume, cfg.load_from = found is not None, found and str(found)
    path = str(cfg.get('load_from') or '')
    if path and '://' not in path:
        check_checkpoint(path)
        if model is not None:
            (load_model_state if cfg.get('resume') else fitting_weights)(model, path)
        if Path(path).is_file():
            _check_run_of(cfg, path)


def _check_run_of(cfg: Config, path: str) -> None:
    """Check what a checkpoint says of its run; where only its weights are taken, warn."""
    checkpoint = load_checkpoint_file(path, lazy=True)
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    moved = moved_class(cfg, meta) if isinstance(meta, dict) else ''
    if moved and cfg.get('resume'):
        raise CheckpointMismatch(
            f'{path}: {moved}: it would go on from the weights of that one; give the classes in '
            "the checkpoint's order, or start anew in another --work-dir"
        )
    if moved:
        print_log(f'load_from {path}: {moved}', 'current', logging.WARNING)
    if not cfg.get('resume'):
        return
    check_averaging(cfg, checkpoint, path)
    missing = left_out(cfg, stored_settings(meta))
    if missing:
        print_log(
            f'--resume: {path}: was trained with {" ".join(missing)}, this run goes on without; '
            'name the same switches to go on as before',
            'current',
            logging.WARNING,
        )


def check_checkpoint(path: str) -> None:
    """Look for a checkpoint, a file or a folder; addresses and published names are left alone.

    Raises:
        CheckpointError: There is no such file, or no checkpoint in the folder.
    """
    file = Path(path).expanduser()
    if '://' in path or (not file.exists() and published_name(path) in PUBLISHED):
        return
    if not file.exists():
        raise CheckpointError(f'{path}: no such checkpoint file')
    if file.is_dir():
        find_in_folder(file)
