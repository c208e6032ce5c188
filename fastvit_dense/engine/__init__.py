"""Training, testing, scoring and predicting: load a config, build, run."""

from .prediction import predict
from .scoring import score_predictions
from .testing import evaluate_checkpoint
from .training import train

__all__ = ['evaluate_checkpoint', 'predict', 'score_predictions', 'train']
