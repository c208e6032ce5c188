"""The classes of the training dataset, followed by every other dataset and every head."""

from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..errors import ConfigError
from .loaders import LOADERS, dataset_classes, datasets_of
from .walk import dicts_of

CLASS_COUNTS = ('num_classes', 'num_things_classes')  # of heads


def spread_classes(cfg: Config) -> None:
    """Make every dataset and every head follow the classes of the training dataset.

    The one knob is `metainfo.classes` of the training dataset: names, one name, or a text file
    with one name a line (`classes.txt`). Datasets of the other dataloaders that name no classes of
    their own take it over.

    Raises:
        ConfigError: The text file is missing or empty, or a name is no text.
    """
    for dataset in datasets_of(cfg):
        if (dataset.get('metainfo') or {}).get('classes'):
            dataset.metainfo.classes = _names(cfg, dataset, dataset.metainfo.classes)
    training = next(datasets_of(cfg, LOADERS[:1]), None)
    metainfo = (training or {}).get('metainfo') or {}
    if not metainfo.get('classes'):
        return
    for dataset in datasets_of(cfg, LOADERS[1:]):
        if not (dataset.get('metainfo') or {}).get('classes'):
            dataset['metainfo'] = ConfigDict(metainfo)
    set_num_classes(cfg.model, len(metainfo['classes']))


def _names(cfg: Config, dataset: ConfigDict, classes: Any) -> Any:
    """Class names as they are given, or those of a text file, here or in the folder of the data."""
    if isinstance(classes, str):
        return _lines(dataset, classes) if classes.endswith('.txt') else (classes,)
    for name in classes:
        if not isinstance(name, str):
            raise ConfigError(
                f'{cfg.filename}: metainfo.classes: expected names, found {name!r}; in quotes it '
                f'is one: {str(name)!r}'
            )
    return classes


def _lines(dataset: ConfigDict, name: str) -> tuple[str, ...]:
    places = [Path(name), Path(dataset.get('data_root') or '') / name]
    file = next(filter(Path.is_file, places), None)
    if file is None:
        raise ConfigError(
            f'metainfo.classes: {name}: no such file of class names, neither here nor in '
            f'{places[1].parent}'
        )
    lines = file.read_text(encoding='utf-8-sig').splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ConfigError(f'metainfo.classes: {file}: expected one class a line, found none')
    return names


def set_num_classes(model: Any, count: int) -> None:
    """Set the number of classes in every head of a model dict, in place."""
    for _, head in dicts_of(model):
        before = next((head[key] for key in CLASS_COUNTS if key in head), None)
        for key in CLASS_COUNTS:
            if head.get(key):
                head[key] = count
        loss = head.get('loss_cls')
        if not isinstance(loss, dict):
            continue
        weights = loss.get('class_weight')
        if isinstance(weights, list | tuple) and before and len(weights) == before + 1:
            loss['class_weight'] = [weights[0]] * count + [weights[-1]]


def moved_class(cfg: Config, meta: dict) -> str:
    """Tell of a class that stands at another place in a checkpoint than in a config; '' if none.

    Loaded, it would have the weights of another. A new name at a place is no other place.

    Args:
        cfg: The config.
        meta: The checkpoint's.
    """
    training = next(datasets_of(cfg, LOADERS[:1]), None)
    own = training and dataset_classes(training, cfg.get('default_scope'))
    known = meta.get('dataset_meta')
    names = known.get('classes') if isinstance(known, dict) else None
    if not own or not isinstance(names, list | tuple) or len(own) != len(names):
        return ''
    before = {name: place for place, name in enumerate(names)}
    for place, name in enumerate(own):
        if before.get(name, place) != place:
            return (
                f'classes: expected those of this run in its order, found {name!r} at place '
                f'{before[name]}, here {place}, where it has {names[place]!r}'
            )
    return ''
