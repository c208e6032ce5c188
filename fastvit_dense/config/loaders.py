"""The dataloaders of a config, and the datasets inside their wrappers."""

from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.config import Config, ConfigDict

from ..errors import ConfigError
from .types import find_type
from .walk import dicts_of

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
DATASET_WRAPPERS = ('dataset', 'datasets')


def datasets_of(cfg: Config, loaders: Iterable[str] = LOADERS) -> Iterator[ConfigDict]:
    """Yield the innermost dataset dicts of the given dataloaders, wrappers opened.

    Raises:
        ConfigError: A dataloader, the dataset in it, or its `metainfo` is no dict.
    """
    for name in loaders:
        loader = cfg.get(name)
        if loader is not None:
            _check_dict(cfg, name, loader)
        if not loader:
            continue
        place = f'{name}.dataset'
        _check_dict(cfg, place, loader.get('dataset'))
        for path, node in dicts_of(loader['dataset'], place):
            below = path.removeprefix(place).split('.')[1:]
            in_wrappers = all(part in DATASET_WRAPPERS or part.isdigit() for part in below)
            if in_wrappers and not any(key in node for key in DATASET_WRAPPERS):
                _check_dict(cfg, f'{path}.metainfo', node.get('metainfo') or {})
                yield node


def _check_dict(cfg: Config, place: str, node: Any) -> None:
    if not isinstance(node, dict):
        raise ConfigError(f'{cfg.filename}: {place}: expected a dict, found {node!r}')


def dataset_classes(dataset: ConfigDict, scope: str | None = None) -> tuple[str, ...] | None:
    """Classes of a dataset dict: its `metainfo.classes`, else those of its type."""
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        cls = find_type(dataset.get('type'), dataset.get('_scope_', scope))
        classes = getattr(cls, 'METAINFO', {}).get('classes')
    return tuple(classes) if classes else None


def evaluators_of(cfg: Config, name: str) -> list[ConfigDict]:
    """Metric dicts of an evaluator, which may be a dict, a list of them, or absent.

    Raises:
        ConfigError: It is something else.
    """
    evaluator = cfg.get(name)
    metrics = evaluator if isinstance(evaluator, list | tuple) else [evaluator] if evaluator else []
    for metric in metrics:
        if not isinstance(metric, dict):
            raise ConfigError(
                f'{cfg.filename}: {name}: expected a dict or a list of dicts, found {metric!r}'
            )
    return list(metrics)
