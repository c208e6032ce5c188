"""The dataloaders of a config, and the datasets inside their wrappers."""

from collections.abc import Iterable, Iterator

from mmengine.config import Config, ConfigDict

from ..errors import ConfigError
from .types import find_type

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
DATASET_WRAPPERS = ('dataset', 'datasets')


def datasets_of(cfg: Config, loaders: Iterable[str] = LOADERS) -> Iterator[ConfigDict]:
    """Yield the innermost dataset dicts of the given dataloaders, wrappers opened."""
    for name in loaders:
        loader = cfg.get(name)
        if loader is not None and not isinstance(loader, dict):
            raise ConfigError(f'{cfg.filename}: {name}: expected a dict, found {loader!r}')
        if loader:
            yield from _innermost(loader['dataset'])


def _innermost(dataset: ConfigDict) -> Iterator[ConfigDict]:
    inner = [dataset[key] for key in DATASET_WRAPPERS if key in dataset]
    if not inner:
        yield dataset
    for item in inner:
        for child in item if isinstance(item, list | tuple) else [item]:
            yield from _innermost(child)


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
