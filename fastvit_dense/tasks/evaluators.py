"""The metrics of a config: which of them are this package's, and what all of them found."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from torch import Tensor

from ..config.loaders import evaluators_of
from ..config.types import find_type
from ..datasets.values import is_number
from ..evaluation.base import TaskMetric
from ..evaluation.record import EvaluationResult
from .base import task_of


def own_evaluator(cfg: Config) -> ConfigDict | None:
    """Return the first test metric of a config that is a `TaskMetric`; None: there is none."""
    scope = cfg.get('default_scope')
    for metric in evaluators_of(cfg, 'test_evaluator'):
        cls = find_type(metric.get('type'), metric.get('_scope_', scope))
        if isinstance(cls, type) and issubclass(cls, TaskMetric):
            return metric
    return None


def use_own_metrics(cfg: Config) -> None:
    """Put a metric of ours in place of mmdet's or mmseg's in the test evaluator of a config.

    Ours takes the same arguments, keeps what the report shows and reads saved predictions. Where
    a metric of ours is there already, the others stay beside it.
    """
    if own_evaluator(cfg) is not None:
        return
    own = task_of(cfg).own_metrics
    for metric in evaluators_of(cfg, 'test_evaluator'):
        name = str(metric.get('type')).rpartition('.')[2]
        if name in own and 'proposal' not in str(metric.get('metric')):
            metric.type = own[name]
            metric.pop('use_mp_eval', None)  # processes of mmdet's, for speed
            return


def outcome(
    cfg: Config, metrics: Sequence[Any], found: Mapping[str, Any], samples: int
) -> EvaluationResult | None:
    """Put together what a test found: the result of our metric, and the numbers of all others.

    Args:
        cfg: The config that was tested.
        metrics: The metric objects of the test.
        found: What the test returned: the numbers of all metrics by name.
        samples: Number of samples of the test dataset.

    Returns:
        The result, of the numbers alone where no metric of ours scored; None where there are
        none: predictions were only written.
    """
    own = next((metric for metric in metrics if isinstance(metric, TaskMetric)), None)
    if own is None or own.result is None:
        numbers = _numbers(found)
        return EvaluationResult(task_of(cfg).name, '', '', samples, numbers) if numbers else None
    prefix = f'{own.prefix}/' if own.prefix else ''
    known = {f'{prefix}{name}' for name in own.result.metrics}
    own.result.metrics |= _numbers({name: v for name, v in found.items() if name not in known})
    return own.result


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among what metrics returned; tells of all others but texts, as mmdet's give."""
    numbers = {}
    for name, value in found.items():
        if isinstance(value, Tensor | np.ndarray) and value.shape == ():
            value = value.item()
        if is_number(value):
            numbers[name] = float(value)
        elif not isinstance(value, str):
            print_log(
                f'metric {name}: expected a finite number, found {value!r:.80}: the report leaves '
                'it out',
                'current',
                logging.WARNING,
            )
    return numbers
