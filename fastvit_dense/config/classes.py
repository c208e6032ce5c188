"""The classes of the training dataset, followed by every other dataset and every head."""

from typing import Any

from mmengine.config import Config, ConfigDict

from .loaders import LOADERS, datasets_of


def spread_classes(cfg: Config) -> None:
    """Make every dataset and every head follow the classes of the training dataset.

    The one knob is `metainfo.classes` of the training dataset; datasets of the other
    dataloaders that name no classes of their own take it over.
    """
    training = next(datasets_of(cfg, LOADERS[:1]), None)
    metainfo = (training or {}).get('metainfo') or {}
    if not metainfo.get('classes'):
        return
    if isinstance(metainfo['classes'], str):
        metainfo['classes'] = (metainfo['classes'],)
    for dataset in datasets_of(cfg, LOADERS[1:]):
        if not (dataset.get('metainfo') or {}).get('classes'):
            dataset['metainfo'] = ConfigDict(metainfo)
    set_num_classes(cfg.model, len(metainfo['classes']))


def set_num_classes(model: Any, count: int) -> None:
    """Set the number of classes in every head of a model dict, in place."""
    if isinstance(model, list | tuple):
        for child in model:
            set_num_classes(child, count)
    elif isinstance(model, dict):
        before = model.get('num_classes', model.get('num_things_classes'))
        for key in ('num_classes', 'num_things_classes'):
            if model.get(key):
                model[key] = count
        for child in model.values():
            set_num_classes(child, count)
        weights = (model.get('loss_cls') or {}).get('class_weight')
        if isinstance(weights, list | tuple) and before and len(weights) == before + 1:
            model['loss_cls']['class_weight'] = [weights[0]] * count + [weights[-1]]
