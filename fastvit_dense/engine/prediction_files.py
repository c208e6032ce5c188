"""Files that `predict` writes: a picture and its data each, or a line of data for each."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from ..errors import ConfigError, PredictionError
from ..inference.addresses import address_path, is_address
from ..results.base import Result


class Shard:
    """Every N-th picture, from the I-th on.

    Args:
        text: 'I/N', I from 1 to N; None for all pictures.

    Raises:
        ConfigError: It is something else.
    """

    def __init__(self, text: str | None) -> None:
        self.number, self.count = 1, 1
        if text is not None:
            parts = text.split('/')
            whole = len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts)
            self.number, self.count = map(int, parts) if whole else (0, 0)
            if not 1 <= self.number <= self.count:
                raise ConfigError(f'--shard {text}: expected I/N with I from 1 to N, such as 3/10')

    def __call__(self, items: list[Any]) -> list[Any]:
        """Its part of a list."""
        return items[self.number - 1 :: self.count]

    def name(self, stem: str, suffix: str) -> str:
        """The name of its file."""
        if self.count == 1:
            return f'{stem}{suffix}'
        width = len(str(self.count))
        return f'{stem}-{self.number:0{width}}-of-{self.count}{suffix}'


class Lines:
    """A file of one JSON object a line, which a killed run may have left in the middle of one.

    Args:
        path: The file; made with the first line.
        resume: Keep the lines that are there, but for a last one that is not whole.

    Attributes:
        target: The file that holds the data when all is done.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = self.target = path
        self.resume = resume
        self.file: Any = None
        if resume and path.is_file():
            self._cut()

    def _cut(self) -> None:
        with self.path.open('rb+') as file:
            end = 0
            for line in file:
                if line.endswith(b'\n'):
                    end += len(line)
            file.truncate(end)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add a line, which is on the disk when this returns."""
        if self.file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open('a' if self.resume else 'w', encoding='utf-8')
        self.file.write(json.dumps(record) + '\n')
        self.file.flush()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The objects, read one by one.

        Raises:
            PredictionError: A line is none.
        """
        if not self.path.is_file():
            return
        with self.path.open(encoding='utf-8') as file:
            for number, line in enumerate(file, start=1):
                try:
                    record = json.loads(line)
                    record['image']
                except (ValueError, RecursionError, TypeError, KeyError):
                    raise PredictionError(
                        f'{self.path}, line {number}: expected a JSON object with "image"'
                    ) from None
                yield record

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


Source = Path | str  # a file, or an address


class PredictionFiles:
    """The files of a run.

    Args:
        out_dir: Where they go.
        names: Place below it, without suffix, by picture; see `output_names`.
        pictures: Write a picture and its data for each; else the data as lines of one file.
        lines: File of lines, if there is one.
    """

    def __init__(
        self, out_dir: Path, names: Mapping[Source, str], pictures: bool, lines: Lines | None
    ) -> None:
        self.out_dir, self.names = out_dir, names
        self.pictures, self.lines = pictures, lines
        self.places = places(names)

    def done(self) -> set[str]:
        """Pictures whose files are whole."""
        if self.lines is not None:
            return {record['image'] for record in self.lines}
        return {str(path) for path in self.names if self._picture(path).is_file()}

    def write(self, path: Source, result: Result) -> Path:
        """Write one result; return the picture, or the file of lines."""
        base = self.out_dir / self.names[path]
        written = result.save_all(base) if self.pictures else result.save_arrays(base)
        if self.lines is not None:
            height, width = result.picture.shape[:2]
            place = self.places[path].as_posix()
            about = {'image': str(path), 'file_name': place, 'height': height, 'width': width}
            self.lines.write({**about, **result.to_dict()})
        return written or (self.lines.target if self.lines else base)

    def _picture(self, path: Source) -> Path:
        return self.out_dir / f'{self.names[path]}.png'


def places(sources: Iterable[Source]) -> dict[Source, PurePath]:
    """The place of each picture below the folder that all have in common.

    Places are those of the names as they are given: nothing is written outside of the folder.
    Beside files of this machine those at addresses have a folder for each host.
    """
    sources = list(sources)
    files = {p: Path(os.path.abspath(p)) for p in sources if not is_address(p)}
    found: dict[Source, PurePath] = _below_common(files)
    addresses: dict[Source, PurePath] = {p: address_path(p) for p in sources if is_address(p)}
    found |= addresses if files else _below_common(addresses)
    return {source: found[source] for source in sources}


def _below_common(paths: Mapping[Source, PurePath]) -> dict[Source, PurePath]:
    if not paths:
        return {}
    root = os.path.commonpath([path.parent for path in paths.values()])
    return {source: path.relative_to(root) for source, path in paths.items()}


def output_names(sources: Iterable[Source]) -> dict[Source, str]:
    """The place of each picture without its suffix, with it where two differ in that alone.

    Of addresses that differ otherwise, such as in what follows a `?`, names get a hash.
    """
    found = places(sources)
    counts = Counter(place.with_suffix('') for place in found.values())
    names = {
        source: (
            place.with_suffix('')
            if counts[place.with_suffix('')] == 1
            else place.with_name(place.name.replace('.', '_'))
        ).as_posix()
        for source, place in found.items()
    }
    counts_of_names = Counter(names.values())
    return {
        source: name if counts_of_names[name] == 1 else f'{name}_{_digest(source)}'
        for source, name in names.items()
    }


def _digest(source: Source) -> str:
    return hashlib.sha256(str(source).encode('utf-8', 'surrogateescape')).hexdigest()[:8]
