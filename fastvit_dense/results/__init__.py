"""Predictions for one image, and the files that they are saved as."""

from .base import Result
from .hand import HandResult
from .instance import InstanceResult
from .semantic import SemanticResult

__all__ = ['HandResult', 'InstanceResult', 'Result', 'SemanticResult']
