"""The embedded sample data: real pixels, exact masks, nothing downloaded."""

from .scene_files import SAMPLE_SEMANTIC_PALETTE, make_sample_data
from .scenes import SAMPLE_CLASSES, SAMPLE_SEMANTIC_CLASSES

__all__ = [
    'SAMPLE_CLASSES',
    'SAMPLE_SEMANTIC_CLASSES',
    'SAMPLE_SEMANTIC_PALETTE',
    'make_sample_data',
]
