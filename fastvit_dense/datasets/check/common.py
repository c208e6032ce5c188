"""Parts shared by the checks of the dataset formats."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from mmengine.dataset import BaseDataset
from mmengine.utils import ProgressBar

from ...errors import DataError
from .findings import DatasetReport

Item = TypeVar('Item')
Result = TypeVar('Result')

# type of the dataset -> where its data is had
SOURCES = {
    'CocoDataset': 'COCO comes from https://cocodataset.org/#download; ',
    'ADE20KDataset': 'ADE20K comes from http://sceneparsing.csail.mit.edu/; ',
}


# How much is read: annotations alone; file names and the look at a few files, too; every file.
DEPTHS = ('annotations', 'sample', 'all')
LOOKED_AT = 100  # pictures or masks of a data set in a sample


@dataclass
class DatasetCheck:
    """One dataset of a config under examination.

    Attributes:
        kind: Its type's name.
        settings: Its dict in the config.
        built: The dataset object, its annotations not read.
        report: Takes counts and findings.
        depth: One of `DEPTHS`.
        scored_masks: An evaluator scores masks of it.
        progress: Show a progress bar.
        training: The dataset that is trained on, its annotations not read, where it is of the same
            type.
    """

    kind: str
    settings: dict
    built: BaseDataset
    report: DatasetReport
    depth: str
    scored_masks: bool = False
    progress: bool = False
    training: BaseDataset | None = None

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names that the config gives the dataset."""
        return tuple(self.built.metainfo.get('classes') or ())

    @property
    def steps(self) -> list[dict]:
        """The transforms of its pipeline."""
        return [step for step in self.settings.get('pipeline') or [] if isinstance(step, dict)]

    @property
    def with_masks(self) -> bool:
        """True where masks of objects are read from its annotations."""
        return self.scored_masks or any(step.get('with_mask') for step in self.steps)

    @property
    def filter_cfg(self) -> dict | None:
        """Its filters; None where nothing is filtered."""
        return None if self.settings.get('test_mode') else self.settings.get('filter_cfg')

    def found_on_disk(self, path: Path, what: str) -> bool:
        """Tell whether a file or folder is there; notes what was looked for and where to get it."""
        if path.exists():
            return True
        root = Path(self.built.data_root or '')
        advice = (
            f'{SOURCES.get(self.kind, "")}data/README.md shows what goes where, --cfg-options sets '
            'another data_root, and --sample runs on embedded sample data instead'
        )
        if root.exists():
            there = f'data_root {root} holds {_listing(root)}'
            self.report.error('missing', path, f'no such {what}; {there}. {advice}')
        else:
            expected = f'expected the data of the {self.kind} there'
            self.report.error('missing', root, f'no such folder; {expected}. {advice}')
        return False

    def warn_of_outside(self, folder: Path, paths: Sequence[Path]) -> None:
        """Note file names that lead out of the folder that they are to lie in."""
        found = outside(folder, paths)
        if found:
            self.report.warning(
                'outside_folder',
                found[0],
                f'{len(found)} of {len(paths)} file names lead out of {folder}',
            )

    def broken(self, kind: str, error: DataError) -> None:
        """Note an error of reading a file, whose message begins with the file."""
        where, _, message = str(error).partition(': ')
        self.report.error(kind, where, message)

    def examine_pictures(
        self, function: Callable[[Item], DataError | None], items: Sequence[Item]
    ) -> None:
        """Read every picture; or, before training, look for one that can be read.

        Args:
            function: Reads a picture and returns what is wrong with it.
            items: The pictures that are there.
        """
        if self.depth == 'all':
            for error in self.examine(function, items):
                self.broken('broken_image', error)
        elif self.depth == 'sample' and items:
            first = function(items[0])
            if first is not None and all(map(function, items[1:])):
                found = f'none of {len(items)} pictures can be read, the first: {first}'
                self.report.error('broken_image', self.report.source, found)

    def examine(
        self, function: Callable[[Item], Result | None], items: Sequence[Item]
    ) -> Iterable[Result]:
        """Call a function that reads files for every item, in threads; yield what is not None."""
        bar = ProgressBar(len(items), file=sys.stderr) if self.progress and items else None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for result in pool.map(function, items):
                if bar:
                    bar.update()
                if result is not None:
                    yield result
        if bar:
            print(file=sys.stderr)


def _listing(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    shown = ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
    return shown or 'nothing'


def existing_files(paths: Iterable[Path]) -> set[Path]:
    """Return those of the paths that exist; one listing per folder instead of a call per file."""
    folders: dict[Path, set[str]] = {}
    found = set()
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = set(_names_in(path.parent))
        if path.name in folders[path.parent]:
            found.add(path)
    return found


def _names_in(folder: Path) -> Iterator[str]:
    """Yield the names in a folder, if it is one, without links that lead nowhere."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_symlink() or os.path.exists(entry.path):
                yield entry.name


def check_no_cycle(folder: Path, above: frozenset[str] = frozenset()) -> None:
    """See that no link below a folder leads back to a folder above it: walks would not end.

    Raises:
        DataError: One does.
    """
    place = os.path.realpath(folder)
    if place in above:
        raise DataError(f'{folder}: a link to {place}, which holds it; remove the link')
    with os.scandir(folder) as entries:
        below = [entry.path for entry in entries if entry.is_dir()]
    for path in below:
        check_no_cycle(Path(path), above | {place})


def outside(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Return those of the paths that lead out of a folder by `..` or from the root."""
    top = os.path.abspath(folder)
    return [path for path in paths if os.path.commonpath([top, os.path.abspath(path)]) != top]


def expected_names(missing: Sequence[str], known: Sequence[Any]) -> str:
    """Say which names are missing, the nearest known name to each, and what there is."""
    parts = []
    for name in missing[:5]:
        close = difflib.get_close_matches(str(name), list(map(str, known)), n=1)
        parts.append(f'{name!r} (nearest: {close[0]!r})' if close else repr(name))
    more = f' and {len(missing) - 5} more' if len(missing) > 5 else ''
    shown = ', '.join(map(repr, known[:10])) + (', ...' if len(known) > 10 else '')
    return f'{", ".join(parts)}{more}, found {shown or "none"}'
