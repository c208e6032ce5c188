"""Faults in the data of a config: everything that can be told before training."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ...config.classes import CLASS_COUNTS
from ...config.loaders import LOADERS, datasets_of, evaluators_of
from ...config.types import base_names, find_type, refused_argument
from ...config.walk import dicts_of
from ...errors import DataError, reason_of
from .coco import check_coco
from .common import DatasetCheck, expected_names
from .findings import DataReport
from .semantic import check_semantic

# whose `num_classes` are those of ImageNet, and object or not
NO_CLASSES = {'backbone', 'rpn_head'}
MESSAGES = 10  # of a quick check's errors, shown in full


def check_config(cfg: Config, read_files: bool = True, progress: bool = False) -> DataReport:
    """Check the data of every dataloader of a config.

    Args:
        cfg: A config from `load_config`.
        read_files: Also read every image and mask; without, annotations and file names only.
        progress: Show a progress bar.

    Returns:
        Errors, warnings and counts.
    """
    return _check(cfg, LOADERS, read_files, progress)


def quick_check(cfg: Config, loader: str) -> DataReport:
    """Check annotations and file names of one dataloader, as is done before training.

    Args:
        cfg: A config from `load_config`.
        loader: 'train_dataloader', 'val_dataloader' or 'test_dataloader'.

    Returns:
        Warnings (logged, too) and counts.

    Raises:
        DataError: The data cannot be used; the message tells why, file by file.
    """
    report = _check(cfg, (loader,), read_files=False, progress=False)
    errors = report.errors
    if len(errors) == 1:
        raise DataError(errors[0])
    if errors:
        more = f'\n  ... and {len(errors) - MESSAGES} more' if len(errors) > MESSAGES else ''
        raise DataError(
            f'{loader}: {len(errors)} errors in the data:\n  '
            + '\n  '.join(errors[:MESSAGES])
            + f'{more}\ntools/check_data.py CONFIG tells more'
        )
    if report.warnings:
        print_log(f'data:\n{report.describe("warning")}', 'current', logging.WARNING)
    return report


def _check(cfg: Config, loaders: tuple[str, ...], read_files: bool, progress: bool) -> DataReport:
    report = DataReport()
    datasets: dict[str, tuple[dict, list[str]]] = {}
    for loader in loaders:
        split = loader.removesuffix('_dataloader')
        for dataset in datasets_of(cfg, [loader]):
            _, splits = datasets.setdefault(_identity(dataset), (dataset, []))
            splits.append(split)
        if split != 'train':
            _check_evaluator(cfg, split, report)
    if not datasets:
        report.error(
            'config',
            'no dataset',
            f'{cfg.filename or "config"}: no dataset in {", ".join(loaders)}',
        )
    for dataset, splits in datasets.values():
        _check_dataset(cfg, dataset, ', '.join(dict.fromkeys(splits)), report, read_files, progress)
    return report


def _identity(dataset: dict) -> str:
    """The same for datasets that read the same files."""
    left_out = ('test_mode', 'filter_cfg', 'indices', 'backend_args')
    return json.dumps(
        {k: v for k, v in dataset.items() if k not in left_out}, sort_keys=True, default=str
    )


def _check_dataset(
    cfg: Config, dataset: dict, split: str, report: DataReport, read_files: bool, progress: bool
) -> None:
    name = dataset.get('type')
    cls = find_type(name, dataset.get('_scope_', cfg.get('default_scope')))
    if cls is None:
        where = cfg.filename or 'config'
        report.error(split, 'dataset', f'{where}: no dataset type {name!r} is registered')
        return
    kind = cls.__name__
    bases = base_names(cls)
    if 'FreiHAND' in bases:
        _check_hand(dataset, split, report, read_files)
        return
    function = next((CHECKS[base] for base in bases if base in CHECKS), None)
    if function is None:
        report.warning(split, 'not checked', f'{kind}: there is no check for this type of dataset')
        return
    if '://' in f'{dataset.get("data_root")}{dataset.get("ann_file")}':
        report.warning(split, 'not checked', f'{kind}: its data is not on this disk')
        return
    known = cls.METAINFO.get('classes')
    wanted = (dataset.get('metainfo') or {}).get('classes')
    unknown = [name for name in wanted or () if name not in known] if known else []
    if unknown and 'BaseSegDataset' in bases:
        report.error(
            split,
            'classes',
            f'{kind}: metainfo.classes: expected classes of {kind}, but there is no '
            f'{expected_names(unknown, known)}; for classes of your own the type is '
            "'BaseSegDataset', with its own reduce_zero_label",
        )
        return
    settings = {k: v for k, v in dataset.items() if k not in ('type', '_scope_', 'pipeline')}
    try:
        built = cls(**{**settings, 'lazy_init': True})
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        reason = refused_argument(cls, settings, error) or reason_of(error)
        report.error(split, 'dataset', f'{kind}: its settings do not fit: {reason}')
        return
    check = DatasetCheck(kind, dataset, built, split, report, read_files, progress)
    _check_num_classes(cfg, check)
    function(check)


# base class of the dataset -> what checks it
CHECKS: dict[str, Callable[[DatasetCheck], None]] = {
    'CocoDataset': check_coco,
    'BaseSegDataset': check_semantic,
}


def _check_hand(dataset: dict, split: str, report: DataReport, read_files: bool) -> None:
    from .hand import check_freihand

    messages, counts = check_freihand(dataset, read_files)
    report.sources[split] = f'FreiHAND, {dataset.get("data_root", "data/freihand")}'
    report.counts[split] = counts
    for severity, message in messages:
        report.add(split, severity, 'FreiHAND', message)


def _check_num_classes(cfg: Config, check: DatasetCheck) -> None:
    """Compare `num_classes` of every head with the classes of the dataset."""
    if not check.classes:
        return
    for path, count in _class_counts(cfg.get('model')):
        if count != len(check.classes):
            check.error(
                'num_classes',
                f'{path}: expected {len(check.classes)}, the number of classes of the '
                f'{check.kind} ({check.classes[0]}, ...), found {count}',
            )


def _class_counts(model: Any) -> Iterator[tuple[str, int]]:
    """Yield (path, value) of every `num_classes` of the heads of a model dict."""
    for path, part in dicts_of(model, 'model'):
        if not NO_CLASSES & set(path.split('.')):
            for key in CLASS_COUNTS:
                if isinstance(part.get(key), int):
                    yield f'{path}.{key}', part[key]


def _check_evaluator(cfg: Config, split: str, report: DataReport) -> None:
    """An evaluator that reads another annotation file than the dataset."""
    dataset = next(datasets_of(cfg, [f'{split}_dataloader']), None)
    if not dataset:
        return
    path = os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    for metric in evaluators_of(cfg, f'{split}_evaluator'):
        ann_file = metric.get('ann_file')
        if ann_file and os.path.realpath(path) != os.path.realpath(ann_file):
            report.warning(
                split,
                'evaluator',
                f'{split}_evaluator.ann_file: expected {path} as in the dataset, found {ann_file}',
            )
