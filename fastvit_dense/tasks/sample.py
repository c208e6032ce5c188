"""What `--sample` puts over a config: embedded data, small pictures, minutes of work."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from ..config.classes import set_num_classes
from ..config.loaders import LOADERS, datasets_of
from .base import task_of

SAMPLE_ROOT = Path('data/sample')
IMAGE_SCALE = (320, 256)  # width, height: about the size of the sample's pictures
CROP = (256, 256)
HAND_SIZE = 64
HAND_ROTATION = 15.0  # degrees either way; what the few sample hands can teach in minutes
REPEATING = ('RepeatDataset', 'ClassBalancedDataset', 'ConcatDataset')


@dataclass(frozen=True)
class Schedule:
    """How long to train: `epochs` over the first `images`, `batch_size` at a time."""

    epochs: int
    images: int
    batch_size: int
    lr: float


# By backbone, so that training stays under four minutes on two CPU cores; None: any other.
INSTANCE = {
    't8': Schedule(2, 140, 2, 3e-4),
    't12': Schedule(1, 200, 2, 3e-4),
    's12': Schedule(1, 200, 2, 3e-4),
    'sa12': Schedule(1, 200, 2, 3e-4),
    'sa24': Schedule(1, 160, 2, 3e-4),
    'sa36': Schedule(1, 110, 2, 3e-4),
    'ma36': Schedule(1, 80, 2, 3e-4),
    None: Schedule(1, 80, 2, 3e-4),
}
SEMANTIC = {
    't8': Schedule(2, 180, 2, 1e-3),
    't12': Schedule(2, 140, 2, 1e-3),
    's12': Schedule(2, 130, 2, 1e-3),
    'sa12': Schedule(2, 126, 2, 1e-3),
    'sa24': Schedule(1, 190, 2, 1e-3),
    'sa36': Schedule(1, 150, 2, 1e-3),
    'ma36': Schedule(1, 120, 2, 1e-3),
    None: Schedule(1, 44, 2, 1e-3),  # heads may be as heavy as UPerNet's
}
HAND = {
    't8': Schedule(5, 1600, 16, 1e-3),
    'sa12': Schedule(3, 1600, 16, 1e-3),
    'sa24': Schedule(2, 1600, 16, 1e-3),
    None: Schedule(1, 1600, 16, 1e-3),
}


def apply_sample_settings(cfg: Config) -> None:
    """Point a config at the embedded sample data and shorten its schedule, in place.

    The data is made on first use in `data/sample`. Training starts from random weights.
    """
    for loader in LOADERS:
        if cfg.get(loader):
            cfg[loader].dataset = _first_dataset(cfg[loader].dataset)
    SETTINGS[task_of(cfg)](cfg)
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


def _instance(cfg: Config) -> None:
    from ..datasets.sample.scene_files import SAMPLE_CLASSES, make_sample_data

    root = make_sample_data(SAMPLE_ROOT, tasks=['instance']) / 'coco'
    for loader, split in _splits():
        for dataset in datasets_of(cfg, [loader]):
            dataset.update(
                type='CocoDataset',
                data_root=f'{root}/',
                ann_file=f'annotations/instances_{split}2017.json',
                data_prefix=ConfigDict(img=f'{split}2017/'),
                metainfo=ConfigDict(classes=SAMPLE_CLASSES),
            )
    for name in ('val_evaluator', 'test_evaluator'):
        if cfg.get(name):
            cfg[name].ann_file = f'{root}/annotations/instances_val2017.json'
    set_num_classes(cfg.model, len(SAMPLE_CLASSES))
    _shrink(cfg)
    _fewer_proposals(cfg.model)
    _by_epoch(cfg, _schedule(cfg, INSTANCE, known=cfg.model.get('type') == 'MaskRCNN'))


def _semantic(cfg: Config) -> None:
    from ..datasets.sample.scene_files import (
        SAMPLE_SEMANTIC_CLASSES,
        SAMPLE_SEMANTIC_PALETTE,
        make_sample_data,
    )

    root = make_sample_data(SAMPLE_ROOT, tasks=['semantic']) / 'ade20k/ADEChallengeData2016'
    for loader, split in _splits(train='training', val='validation'):
        for dataset in datasets_of(cfg, [loader]):
            dataset.update(
                type='BaseSegDataset',
                reduce_zero_label=True,
                data_root=str(root),
                ann_file='',
                img_suffix='.jpg',
                seg_map_suffix='.png',
                data_prefix=ConfigDict(
                    img_path=f'images/{split}', seg_map_path=f'annotations/{split}'
                ),
                metainfo=ConfigDict(
                    classes=SAMPLE_SEMANTIC_CLASSES,
                    palette=[list(color) for color in SAMPLE_SEMANTIC_PALETTE],
                ),
            )
            for step in dataset.pipeline:
                step.pop('reduce_zero_label', None)  # the dataset's holds
    set_num_classes(cfg.model, len(SAMPLE_SEMANTIC_CLASSES))
    _shrink(cfg)
    head = cfg.model.get('decode_head')
    known = isinstance(head, dict) and head.get('type') == 'FPNHead'
    _by_epoch(cfg, _schedule(cfg, SEMANTIC, known))


def _hand(cfg: Config) -> None:
    from ..datasets.sample.hands import make_sample_hands

    root = make_sample_hands(SAMPLE_ROOT) / 'freihand'
    for loader, split in _splits(train='training', val='evaluation'):
        for dataset in datasets_of(cfg, [loader]):
            dataset.update(
                data_root=str(root),
                ann_file='',
                data_prefix=ConfigDict(),
                mano='standin',
                split=split,
                portion='all',
            )
    for dataset in datasets_of(cfg):
        _simplify_hands(dataset.pipeline)
    cfg.model.mano = dict(standin=True)
    # a mean over thousands of steps is still the random start after a hundred
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != 'EMAHook']
    _by_epoch(cfg, _schedule(cfg, HAND))


def _simplify_hands(pipeline: list[dict]) -> None:
    """Smaller images, turned less and not covered: FreiHAND's range takes hours to learn."""
    for step in pipeline:
        if step['type'] in ('HandCrop', 'RandomHandCrop'):
            step['size'] = HAND_SIZE
        if 'rotation' in step:
            step['rotation'] = HAND_ROTATION
    pipeline[:] = [step for step in pipeline if step['type'] != 'RandomHandOcclusion']


SETTINGS: dict[str, Callable[[Config], None]] = {
    'instance': _instance,
    'semantic': _semantic,
    'hand': _hand,
}


def _splits(train: str = 'train', val: str = 'val') -> Iterable[tuple[str, str]]:
    return (('train_dataloader', train), ('val_dataloader', val), ('test_dataloader', val))


def _shrink(cfg: Config) -> None:
    """Set every image, crop and padding size of the pipelines and the preprocessor."""
    for dataset in datasets_of(cfg):
        _set_sizes(dataset.get('pipeline'))
    for preprocessor in (cfg.model.get('data_preprocessor'), cfg.get('data_preprocessor')):
        _set_sizes(preprocessor)
        if preprocessor:
            preprocessor.pop('batch_augments', None)  # padding to the full size


def _set_sizes(node: Any) -> None:
    if isinstance(node, list | tuple):
        for child in node:
            _set_sizes(child)
    elif isinstance(node, dict):
        for child in node.values():
            _set_sizes(child)
        for key in ('scale', 'img_scale'):
            if isinstance(node.get(key), tuple | list):
                node[key] = IMAGE_SCALE
        if node.get('scales'):
            node['scales'] = [IMAGE_SCALE]
        for key in ('crop_size', 'size'):
            if isinstance(node.get(key), tuple | list):
                node[key] = CROP


def _fewer_proposals(model: ConfigDict) -> None:
    """Fewer proposals and RoIs: they are most of the work at this image size."""
    train, test = model.get('train_cfg') or {}, model.get('test_cfg') or {}
    for stage in _as_list(train.get('rcnn')):
        if 'num' in stage.get('sampler', {}):
            stage.sampler.num = 64
    for proposals in (train.get('rpn_proposal'), test.get('rpn')):
        if proposals:
            proposals.nms_pre = 400
            proposals.max_per_img = 100


def _as_list(value: Any) -> list:
    return list(value) if isinstance(value, list | tuple) else [value] if value else []


def _first_dataset(dataset: ConfigDict) -> ConfigDict:
    """The dataset inside wrappers that repeat or join; those that mix images keep theirs."""
    while str(dataset.get('type')).rpartition('.')[2] in REPEATING:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def _schedule(cfg: Config, schedules: dict, known: bool = True) -> Schedule:
    """The schedule of the backbone; that of None where the heads are not those of our configs."""
    arch = cfg.model.get('backbone', {}).get('arch') if known else None
    return schedules.get(arch, schedules[None])


def _by_epoch(cfg: Config, schedule: Schedule) -> None:
    """Replace the training loop, the optimiser and the hooks' intervals by a short schedule."""
    iterations = schedule.epochs * (schedule.images // schedule.batch_size)
    cfg.train_cfg = dict(
        type='EpochBasedTrainLoop', max_epochs=schedule.epochs, val_interval=schedule.epochs
    )
    loader = cfg.train_dataloader
    loader.batch_size = schedule.batch_size
    if 'batch_sampler' not in loader:
        loader.drop_last = True
    loader.sampler = dict(type='SeededSampler', shuffle=True)
    for dataset in datasets_of(cfg, ['train_dataloader']):
        dataset.indices = schedule.images
    cfg.optim_wrapper = ConfigDict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=schedule.lr, weight_decay=1e-4),
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
