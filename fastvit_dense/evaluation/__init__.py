"""Metrics of the three tasks and the record that each of them ends in."""

from .result import EvaluationResult

__all__ = ['EvaluationResult']
