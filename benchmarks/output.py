"""Files of results: JSON, and the table and the picture beside it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.machine import BenchmarkError


def check_out(path: Path) -> None:
    """Make the folder of `--out`, and see before hours of work that a file can be written.

    Raises:
        BenchmarkError: It is no .json, a folder, or cannot be written.
    """
    if path.suffix != '.json':
        raise BenchmarkError(f'--out {path}: expected a file name that ends in .json')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError('a folder, or not writable')
    except OSError as error:
        raise BenchmarkError(f'--out {path}: cannot be written: {error}') from error


def write_benchmark(
    path: Path, results: Mapping[str, Any], text: str = '', figure: Figure | None = None
) -> None:
    """Write `path`, and beside it the text, if any, as .md and the picture, if any, as .png."""
    path.write_text(json.dumps(results, indent=2) + '\n')
    if text:
        path.with_suffix('.md').write_text(text + '\n')
    if figure is not None:
        figure.savefig(path.with_suffix('.png'), dpi=120, bbox_inches='tight')
