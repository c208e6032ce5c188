"""Models that are called with pictures."""

from .predictor import Predictor, load_model

__all__ = ['Predictor', 'load_model']
