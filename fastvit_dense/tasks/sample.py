"""The settings of `--sample`: embedded data, small pictures, minutes of work."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from ..config.loaders import LOADERS, datasets_of
from ..config.walk import dicts_of
from .base import task_of

SAMPLE_ROOT = Path('data/sample')
FULL = (320, 256)  # width, height: about the size of the sample's pictures
HALF = (160, 128)  # for more steps in the same time
REPEATING = ('RepeatDataset', 'ClassBalancedDataset', 'ConcatDataset')


@dataclass(frozen=True)
class Schedule:
    """A length of training.

    Attributes:
        epochs: Passes over the pictures.
        images: How many pictures, the first of the sample.
        batch_size: Of them at a time.
        lr: Highest learning rate.
        scale: Width and height that scenes are resized to; crops are as wide as high.
    """

    epochs: int
    images: int
    batch_size: int
    lr: float
    scale: tuple[int, int] = FULL


def apply_sample_settings(cfg: Config) -> None:
    """Point a config at the embedded sample data and shorten its schedule, in place.

    The data is made on first use in `data/sample`. Training starts from random weights.
    """
    for loader in LOADERS:
        if cfg.get(loader):
            cfg[loader].dataset = _first_dataset(cfg[loader].dataset)
    task_of(cfg).use_sample_data(cfg)
    cfg.default_hooks.logger.interval = min(cfg.default_hooks.logger.get('interval', 10), 10)
    cfg.load_from = None
    cfg.dataset_name = 'fastvit_dense sample data'
    cfg.pop('expected_results', None)
    for loader in LOADERS:
        if cfg.get(loader):
            cfg[loader].num_workers = min(cfg[loader].get('num_workers', 0), 1)
            cfg[loader].persistent_workers = cfg[loader].num_workers > 0
    print_log(
        f'sample data in {SAMPLE_ROOT}, random weights: the numbers say that everything runs, '
        'nothing of accuracy',
        'current',
    )


def split_loaders(train: str = 'train', val: str = 'val') -> Iterable[tuple[str, str]]:
    """Pairs of a dataloader and the split of the sample data that it gets."""
    return (('train_dataloader', train), ('val_dataloader', val), ('test_dataloader', val))


def shrink(cfg: Config, scale: tuple[int, int] = FULL) -> None:
    """Set every image, crop and padding size of pipelines, preprocessor and batch sampler."""
    for dataset in datasets_of(cfg):
        _set_sizes(dataset.get('pipeline'), scale)
    for preprocessor in (cfg.model.get('data_preprocessor'), cfg.get('data_preprocessor')):
        _set_sizes(preprocessor, scale)
        if preprocessor:
            preprocessor.pop('batch_augments', None)  # padding to the full size
    _shrink_drawn((cfg.get('train_dataloader') or {}).get('batch_sampler') or {}, scale)


def _set_sizes(node: Any, scale: tuple[int, int]) -> None:
    for _, step in dicts_of(node):
        for key in ('scale', 'img_scale'):
            if _is_size(step.get(key)):
                step[key] = scale
        if step.get('scales'):
            step['scales'] = [scale]
        for key in ('crop_size', 'size'):
            if _is_size(step.get(key)):
                step[key] = (scale[1], scale[1])


def _shrink_drawn(batch_sampler: dict, scale: tuple[int, int]) -> None:
    """Shrink the sizes that a `MultiScaleBatchSampler` draws, in proportion to its base."""
    base = batch_sampler.get('base_size')
    if base is None:
        return
    crop = scale[1], scale[1]
    for key in ('min_size', 'max_size'):
        if size := batch_sampler.get(key):
            sides = size if isinstance(size, tuple | list) else (size, size)
            drawn = zip(sides, crop, base, strict=True)
            batch_sampler[key] = tuple(max(1, s * side // whole) for s, side, whole in drawn)
    batch_sampler['base_size'] = crop


def _is_size(value: Any) -> bool:
    """Tell a size from a number, and from the words that a batch sampler's size stands in for."""
    return isinstance(value, tuple | list) and not any(isinstance(side, str) for side in value)


def as_list(value: Any) -> list:
    """A list or tuple as a list, anything else as a list of itself; empty for what is not set."""
    return list(value) if isinstance(value, list | tuple) else [value] if value else []


def _first_dataset(dataset: ConfigDict) -> ConfigDict:
    """The dataset inside wrappers that repeat or join; those that mix images keep theirs."""
    while str(dataset.get('type')).rpartition('.')[2] in REPEATING:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def schedule_of(cfg: Config, schedules: dict, known: bool = True) -> Schedule:
    """The schedule of the backbone; that of None where the heads are not those of our configs."""
    arch = cfg.model.get('backbone', {}).get('arch') if known else None
    return schedules.get(arch, schedules[None])


def shorten(cfg: Config, schedule: Schedule) -> None:
    """Replace the training loop, the optimiser and the hooks' intervals by a short schedule."""
    iterations = schedule.epochs * (schedule.images // schedule.batch_size)
    cfg.train_cfg = dict(
        type='EpochBasedTrainLoop', max_epochs=schedule.epochs, val_interval=schedule.epochs
    )
    loader = cfg.train_dataloader
    loader.batch_size = schedule.batch_size
    if not loader.get('batch_sampler'):
        loader.drop_last = True
    loader.sampler = dict(type='SeededSampler', shuffle=True)
    for dataset in datasets_of(cfg, ['train_dataloader']):
        dataset.indices = schedule.images
    cfg.optim_wrapper = ConfigDict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=schedule.lr, weight_decay=1e-4, fused=True),
        clip_grad=dict(max_norm=10),
    )
    warmup = max(1, min(50, iterations // 5))
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=warmup),
        dict(
            type='CosineAnnealingLR',
            eta_min=schedule.lr / 50,
            by_epoch=False,
            begin=warmup,
            end=iterations,
            T_max=iterations - warmup,
        ),
    ]
    cfg.log_processor = dict(type='LogProcessor', window_size=10, by_epoch=True)
    cfg.default_hooks.logger.pop('log_metric_by_epoch', None)
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=1)


def grow_layer_scales(cfg: Config) -> None:
    """Let layer scales learn faster: they begin at 1e-5, with blocks that do next to nothing."""
    keys = {'layer_scale': dict(lr_mult=20.0)}
    cfg.optim_wrapper.paramwise_cfg = ConfigDict(custom_keys=keys)
