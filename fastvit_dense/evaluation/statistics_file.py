"""`per_image.npz`: the statistics of an evaluation, beside its report."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.values import is_number
from ..errors import DataError
from ..limits import STATISTICS_BYTES
from .statistics import Confusions, Detections, Means, Segments, Statistics

STATISTICS_FILE = 'per_image.npz'
_BROKEN = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError),
    *(RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error),
)
KINDS: dict[str, type[Statistics]] = {
    'means': Means,
    'confusions': Confusions,
    'detections': Detections,
    'segments': Segments,
}


def pack(statistics: Statistics) -> bytes:
    """The content of the file."""
    kind = next(name for name, cls in KINDS.items() if type(statistics) is cls)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {'kind': np.array(kind), **statistics.arrays()}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_statistics(report: str | Path, metrics: Mapping[str, Any]) -> Statistics | None:
    """Read the statistics beside a report.

    Args:
        report: A `report.json`, or the folder that holds it.
        metrics: The report's metrics.

    Returns:
        None where there is no such file, or that of another evaluation: it gives other numbers.

    Raises:
        DataError: The file is broken.
    """
    folder = Path(report) if Path(report).is_dir() else Path(report).parent
    path = folder / STATISTICS_FILE
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > STATISTICS_BYTES:
            raise DataError(f'{path}: expected at most {STATISTICS_BYTES:,} bytes, found {size:,}')
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        statistics = KINDS[str(arrays.pop('kind'))].from_arrays(arrays)
        found = statistics.numbers(np.ones((1, len(statistics.ids))))
    except DataError:
        raise
    except _BROKEN as error:
        problem = f'{type(error).__name__}: {error}'
        raise DataError(f'{path}: expected a whole file, found {problem}') from None
    same = all(_agree(values[0], metrics.get(name)) for name, values in found.items())
    return statistics if same else None


def _agree(value: float, reported: Any) -> bool:
    """Tell whether a number is the reported one, where one is reported."""
    if not is_number(reported) or not np.isfinite(value):
        return True
    return abs(value - reported) <= 1e-9 * max(1.0, abs(reported))
