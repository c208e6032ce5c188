"""Deployment: export, run, quantise and check models outside PyTorch."""

from .formats import ExportFormat, register_format

__all__ = ['ExportFormat', 'register_format']
