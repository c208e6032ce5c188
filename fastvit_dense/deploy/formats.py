"""The export formats by name; one of one's own is registered beside them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ExportError
from ..graphs.agreement import Line
from .job import Job


@dataclass(frozen=True)
class ExportFormat:
    """A format that `tools/export.py` writes.

    Attributes:
        name: As `--format` takes it.
        suffix: Of its files, with the dot.
        modules: What must be installed to write and check them.
        export: Called with the job and the file; writes the file, whole or not at all (see
            `job.writing`), and gives the comparisons with PyTorch.
        precisions: What `Job.precision` may be; the first where nothing is asked for.
        stated_sizes: Whether its files take the sizes alone that they were made for.
    """

    name: str
    suffix: str
    modules: tuple[str, ...]
    export: Callable[[Job, Path], Iterable[Line]]
    precisions: tuple[str, ...] = ('fp32',)
    stated_sizes: bool = False


FORMATS: dict[str, ExportFormat] = {}


def register_format(entry: ExportFormat) -> ExportFormat:
    """Make a format known by its name; the last one of a name counts."""
    FORMATS[entry.name] = entry
    return entry


def find_format(name: str) -> ExportFormat:
    """Return the format of a name.

    Raises:
        ExportError: There is none.
    """
    if name not in FORMATS:
        raise ExportError(f'--format {name}: expected one of {", ".join(FORMATS)}')
    return FORMATS[name]
