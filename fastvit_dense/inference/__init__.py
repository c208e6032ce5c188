"""Models that are called with pictures."""

from .columns import BatchPredictor
from .predictor import Predictor, load_model

__all__ = ['BatchPredictor', 'Predictor', 'load_model']
