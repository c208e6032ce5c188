"""The classes of the training dataset, followed by every other dataset and every head."""

from typing import Any

from mmengine.config import Config, ConfigDict

from .loaders import LOADERS, datasets_of
from .walk import dicts_of

CLASS_COUNTS = ('num_classes', 'num_things_classes')  # of heads


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
