"""Parts shared by the checks of the dataset formats."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mmengine.dataset import BaseDataset
from mmengine.utils import ProgressBar

from .findings import DataReport

Item = TypeVar('Item')
Result = TypeVar('Result')

# type of the dataset -> where its data is had
SOURCES = {
    'CocoDataset': 'COCO comes from https://cocodataset.org/#download; ',
    'ADE20KDataset': 'ADE20K comes from http://sceneparsing.csail.mit.edu/; ',
}


@dataclass
class DatasetCheck:
    """One dataset of a config under examination.

    Attributes:
        kind: Its type's name.
        settings: Its dict in the config.
        built: The dataset object, its annotations not read.
        split: 'train', 'val' or 'test', or several joined: the dataloaders that use it.
        report: Takes the findings.
        read_files: Also read every image and mask.
        progress: Show a progress bar.
    """

    kind: str
    settings: dict
    built: BaseDataset
    split: str
    report: DataReport
    read_files: bool
    progress: bool

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names that the config gives the dataset."""
        return tuple(self.built.metainfo.get('classes') or ())

    @property
    def steps(self) -> list[dict]:
        """The transforms of its pipeline."""
        return [step for step in self.settings.get('pipeline') or [] if isinstance(step, dict)]

    def error(self, kind: str, message: str) -> None:
        """Note an error."""
        self.report.error(self.split, kind, message)

    def warning(self, kind: str, message: str) -> None:
        """Note a warning."""
        self.report.warning(self.split, kind, message)

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
            self.error('dataset incomplete', f'{path}: no such {what}; {there}. {advice}')
        else:
            expected = f'expected the data of the {self.kind} there'
            self.error('dataset missing', f'{root}: no such folder; {expected}. {advice}')
        return False

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
            there = path.parent.is_dir()
            folders[path.parent] = set(os.listdir(path.parent)) if there else set()
        if path.name in folders[path.parent]:
            found.add(path)
    return found


def expected_names(missing: Sequence[str], known: Sequence[Any]) -> str:
    """Say which names are missing, the nearest known name to each, and what there is."""
    parts = []
    for name in missing[:5]:
        close = difflib.get_close_matches(str(name), list(map(str, known)), n=1)
        parts.append(f'{name!r} (nearest: {close[0]!r})' if close else repr(name))
    more = f' and {len(missing) - 5} more' if len(missing) > 5 else ''
    shown = ', '.join(map(repr, known[:10])) + (', ...' if len(known) > 10 else '')
    return f'{", ".join(parts)}{more}, found {shown or "none"}'
