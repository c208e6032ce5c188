"""Deployment: export, run and measure models outside PyTorch."""

from pathlib import Path
from typing import Any

EXPORT_SUFFIXES = ('.onnx', '.xml', '.mlpackage')


def is_exported(path: Any) -> bool:
    """Whether a name is that of an exported file rather than of a checkpoint."""
    return path is not None and Path(path).suffix in EXPORT_SUFFIXES
