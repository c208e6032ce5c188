"""Faults in the data of a config: everything that can be told before training."""

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ...config.classes import CLASS_COUNTS
from ...config.loaders import LOADERS, datasets_of, evaluators_of
from ...config.types import base_names, find_type, refused_argument
from ...config.walk import dicts_of
from ...errors import DataError, reason_of
from ..bit_depth import stated_bits
from .coco import check_coco
from .common import DatasetCheck, expected_names
from .findings import DataReport, DatasetReport
from .heads import check_heads
from .panoptic import check_panoptic
from .pictures import judge_depth
from .semantic import check_semantic
from .shared_pictures import find_shared_pictures

# whose `num_classes` are those of ImageNet, and object or not
NO_CLASSES = {'backbone', 'rpn_head'}
REFUSALS = (AssertionError, KeyError, TypeError, ValueError)  # of datasets that are built
MESSAGES = 10  # of a quick check's errors, shown in full


def check_config(cfg: Config, read_files: bool = True, progress: bool = False) -> DataReport:
    """Check the data of the dataloaders of a config.

    Args:
        cfg: A config from `load_config`.
        read_files: Read every image and mask; without, annotations, file names and a few files.
        progress: Show a progress bar.

    Returns:
        Errors, warnings and counts, dataset by dataset.
    """
    return _check(cfg, LOADERS, 'all' if read_files else 'sample', progress)


def quick_check(cfg: Config, *loaders: str, with_files: bool = True) -> DataReport:
    """Check annotations and file names of dataloaders, as is done before training and scoring.

    Args:
        cfg: A config from `load_config`.
        *loaders: Of 'train_dataloader', 'val_dataloader' and 'test_dataloader'.
        with_files: Pictures must be there; a few are looked at. Scoring needs none.

    Returns:
        Warnings (logged, too) and counts.

    Raises:
        DataError: The data cannot be used; the message tells why, of the first dataset that cannot,
            file by file.
    """
    report = _check(cfg, loaders, 'sample' if with_files else 'annotations', progress=False)
    faulty = next((dataset for dataset in report.datasets if dataset.has_errors), None)
    if faulty is not None:
        _refuse(faulty)
    for dataset in report.datasets:
        if dataset.notes[1:]:  # the first says where its files are
            print_log(f'{", ".join(dataset.loaders)}: {"; ".join(dataset.notes[1:])}', 'current')
    if report.warnings:
        print_log(f'data:\n{report.describe("warning")}', 'current', logging.WARNING)
    return report


def _refuse(dataset: DatasetReport) -> None:
    """Raise the errors of a dataset as one."""
    errors = [str(finding) for finding in dataset.findings if finding.severity == 'error']
    if len(errors) == 1:
        raise DataError(errors[0])
    loaders = ', '.join(f'{loader}_dataloader' for loader in dataset.loaders)
    more = f'\n  ... and {len(errors) - MESSAGES} more' if len(errors) > MESSAGES else ''
    raise DataError(
        f'{loaders}: {len(errors)} errors in the data:\n  '
        + '\n  '.join(errors[:MESSAGES])
        + f'{more}\nfastvit-dense check-data CONFIG tells more'
    )


def _check(cfg: Config, loaders: tuple[str, ...], depth: str, progress: bool) -> DataReport:
    reports: dict[str, tuple[dict, DatasetReport]] = {}
    for loader in loaders:
        name = loader.removesuffix('_dataloader')
        for position, dataset in enumerate(datasets_of(cfg, [loader])):
            _, report = reports.setdefault(_identity(dataset), (dataset, DatasetReport([])))
            if name not in report.loaders:
                report.loaders.append(name)
            if position == 0 and name != 'train':
                _check_evaluator(cfg, name, dataset, report)
    if not reports:
        nothing = DatasetReport([loader.removesuffix('_dataloader') for loader in loaders])
        where = cfg.filename or 'config'
        nothing.error('no_dataset', where, f'no dataset in {", ".join(loaders)}')
        return DataReport([nothing])
    for dataset, report in reports.values():
        _check_dataset(cfg, dataset, report, depth, progress)
    result = DataReport([report for _, report in reports.values()])
    judge_depth(result.datasets, stated_bits(cfg))
    find_shared_pictures(result, by_content=depth == 'all')
    return result


def _identity(dataset: dict) -> str:
    """The same for datasets that read the same files and filter them alike."""
    left_out = ('indices', 'backend_args')
    return json.dumps(
        {k: v for k, v in dataset.items() if k not in left_out}, sort_keys=True, default=str
    )


def _check_dataset(
    cfg: Config, dataset: dict, report: DatasetReport, depth: str, progress: bool
) -> None:
    name = dataset.get('type')
    cls = find_type(name, dataset.get('_scope_', cfg.get('default_scope')))
    if cls is None:
        where = cfg.filename or 'config'
        report.error('dataset', where, f'no dataset type {name!r} is registered')
        return
    report.kind = kind = cls.__name__
    bases = base_names(cls)
    if 'FreiHAND' in bases:
        from .hand import check_freihand

        check_freihand(dataset, report, depth)
        return
    function = next((CHECKS[base] for base in bases if base in CHECKS), None)
    if function is None:
        report.warning('not_checked', kind, 'there is no check for this type of dataset')
        return
    if '://' in f'{dataset.get("data_root")}{dataset.get("ann_file")}':
        report.warning('not_checked', kind, 'its data is not on this disk')
        return
    known = cls.METAINFO.get('classes')
    wanted = (dataset.get('metainfo') or {}).get('classes')
    unknown = [name for name in wanted or () if name not in known] if known else []
    if unknown and 'BaseSegDataset' in bases:
        report.error(
            'classes',
            kind,
            f'metainfo.classes: expected classes of {kind}, but there is no '
            f'{expected_names(unknown, known)}; for classes of your own the type is '
            "'BaseSegDataset', with its own reduce_zero_label",
        )
        return
    try:
        built = cls(**_settings(dataset))
    except REFUSALS as error:
        metainfo = dataset.get('metainfo') or {}
        if 'palette does not match' in str(error):
            count, colours = len(metainfo.get('classes') or ()), len(metainfo['palette'])
            message = (
                f'metainfo.palette: palette does not match classes: expected {count} colours, one '
                f'of each class, found {colours}; metainfo.palette=[] leaves them to chance'
            )
            report.error('palette', kind, message)
            return
        reason = refused_argument(cls, _settings(dataset), error) or reason_of(error)
        report.error('dataset', kind, f'its settings do not fit: {reason}')
        return
    masks = any(_scores_masks(cfg, loader) for loader in report.loaders)
    check = DatasetCheck(kind, dataset, built, report, depth, masks, progress)
    check.training = _built(cls, next(datasets_of(cfg, LOADERS[:1]), {}))
    _check_names(check)
    _check_num_classes(cfg, check)
    if function is check_semantic:
        check_heads(cfg, check)
    function(check)


def _settings(dataset: dict) -> dict:
    """Arguments that build a dataset without reading its files."""
    left_out = ('type', '_scope_', 'pipeline')
    return {k: v for k, v in dataset.items() if k not in left_out} | {'lazy_init': True}


def _built(cls: type, dataset: dict) -> Any:
    """A dataset of a type, nothing read; None where it is of another type or cannot be built."""
    if str(dataset.get('type')).rpartition('.')[2] != cls.__name__:
        return None
    try:
        return cls(**_settings(dataset))
    except REFUSALS:
        return None


def _scores_masks(cfg: Config, loader: str) -> bool:
    for metric in evaluators_of(cfg, f'{loader}_evaluator'):
        kinds = metric.get('metric') or ()
        if {'segm', 'boundary'} & set([kinds] if isinstance(kinds, str) else kinds):
            return True
    return False


# base class of the dataset -> what checks it
CHECKS: dict[str, Callable[[DatasetCheck], None]] = {
    'CocoPanopticDataset': check_panoptic,
    'CocoDataset': check_coco,
    'BaseSegDataset': check_semantic,
}


def _check_names(check: DatasetCheck) -> None:
    """See that each class has a name of its own: of two of one name, one would have no object."""
    for name, count in Counter(check.classes).items():
        if count > 1:
            message = f'metainfo.classes: expected each name once, found {name!r} {count} times'
            check.report.error('duplicate_name', check.kind, message)
        if not name.strip():
            message = f'metainfo.classes: expected names, found {name!r}'
            check.report.error('classes', check.kind, message)


def _check_num_classes(cfg: Config, check: DatasetCheck) -> None:
    """Compare `num_classes` of every head with the classes of the dataset, things if it tells."""
    classes = check.built.metainfo.get('thing_classes') or check.classes
    if not classes:
        return
    for path, count in _class_counts(cfg.get('model')):
        if count != len(classes):
            check.report.error(
                'num_classes',
                path,
                f'expected {len(classes)}, the number of classes of the '
                f'{check.kind} ({classes[0]}, ...), found {count}',
            )


def _class_counts(model: Any) -> Iterator[tuple[str, int]]:
    """Yield (path, value) of every `num_classes` of the heads of a model dict."""
    for path, part in dicts_of(model, 'model'):
        if not NO_CLASSES & set(path.split('.')):
            for key in CLASS_COUNTS:
                if isinstance(part.get(key), int):
                    yield f'{path}.{key}', part[key]


def _check_evaluator(cfg: Config, loader: str, dataset: dict, report: DatasetReport) -> None:
    """An evaluator that reads another annotation file than the dataset."""
    path = os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    for metric in evaluators_of(cfg, f'{loader}_evaluator'):
        ann_file = metric.get('ann_file')
        if ann_file and os.path.realpath(path) != os.path.realpath(ann_file):
            where = f'{loader}_evaluator.ann_file'
            report.warning(
                'evaluator', where, f'expected {path} as in the dataset, found {ann_file}'
            )
