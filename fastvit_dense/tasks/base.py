"""Tasks."""

import inspect

from mmengine.config import Config

from ..config.loaders import LOADERS, datasets_of
from ..config.types import find_type
from ..errors import ConfigError

# metric of the model zoos: ours, which takes its arguments and gives its numbers
OWN_METRICS = {'CocoMetric': 'InstanceMetric', 'IoUMetric': 'SemanticMetric'}


def use_own_metric(cfg: Config) -> None:
    """Put our metric in place of mmdet's or mmseg's in the test evaluator of a config.

    Ours keeps what the report shows and reads saved predictions.
    """
    evaluator = cfg.get('test_evaluator')
    if not isinstance(evaluator, dict) or 'proposal' in str(evaluator.get('metric')):
        return
    own = OWN_METRICS.get(str(evaluator.get('type')).rpartition('.')[2])
    if own:
        evaluator.type = own
        evaluator.pop('use_mp_eval', None)  # processes of mmdet's, for speed


TASKS = {
    'instance': 'BaseDetDataset',
    'semantic': 'BaseSegDataset',
    'hand': 'FreiHAND',
}


def task_of(cfg: Config) -> str:
    """Return 'instance', 'semantic' or 'hand', by the base class of the config's dataset.

    Raises:
        ConfigError: The dataset is of none of the three kinds.
    """
    dataset = next(
        datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')), None
    )
    if dataset is None:
        raise ConfigError(f'{cfg.filename}: no dataset in any of {", ".join(LOADERS)}')
    cls = find_type(dataset.get('type'), dataset.get('_scope_', cfg.get('default_scope')))
    if cls is None:
        raise ConfigError(f'{cfg.filename}: no dataset type {dataset.get("type")!r} is registered')
    names = {base.__name__ for base in inspect.getmro(cls)}
    for task, base in TASKS.items():
        if base in names:
            return task
    raise ConfigError(
        f'{cfg.filename}: dataset {dataset["type"]}: expected a subclass of one of '
        f'{", ".join(TASKS.values())}'
    )
