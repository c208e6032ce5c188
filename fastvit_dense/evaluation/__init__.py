"""Metrics of the three tasks and the record that each of them ends in."""

from ..errors import PredictionError
from .base import TaskMetric
from .hand import HandMetric
from .hand_scores import evaluate_hand
from .instance import InstanceMetric
from .predictions import evaluate_predictions
from .record import EvaluationResult
from .semantic import SemanticMetric

__all__ = [
    'EvaluationResult',
    'HandMetric',
    'InstanceMetric',
    'PredictionError',
    'SemanticMetric',
    'TaskMetric',
    'evaluate_hand',
    'evaluate_predictions',
]
