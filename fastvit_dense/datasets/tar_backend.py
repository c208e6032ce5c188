"""Files inside tar archives, for everything that reads through mmengine's file backends."""

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.fileio import BaseStorageBackend

from ..errors import DataError, MissingFileError, reason_of

PREFIX = 'tar'
START, END = f'{PREFIX}://', '.tar'


class _Place(NamedTuple):
    start: int
    size: int


class _Archive:
    """An archive that is read from any number of threads and forked processes at once.

    Raises:
        DataError: It cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.places: dict[str, _Place] = {}
        try:
            self.file = os.open(path, os.O_RDONLY)
            with tarfile.open(path, 'r:') as archive:
                for entry in archive:
                    archive.members = []  # type: ignore[attr-defined]  # else it keeps them all
                    if entry.isreg() and not entry.issparse():
                        place = _Place(entry.offset_data, entry.size)
                        self.places[os.path.normpath(entry.name)] = place
        except FileNotFoundError:
            raise MissingFileError(f'{path}: expected a tar archive, found no such file') from None
        except (OSError, tarfile.TarError) as error:
            raise DataError(
                f'{path}: expected an uncompressed tar archive: {reason_of(error)}'
            ) from error

    def read(self, place: _Place) -> bytes:
        """The bytes of a file; `pread` has no position that readers would share."""
        return os.pread(self.file, place.size, place.start)


class TarBackend(BaseStorageBackend):
    """mmengine's file backend for `tar://ARCHIVE.tar/NAME`; the archive is on this machine.

    An archive is indexed when it is first read, in each process. Links in it are not followed.
    """

    def __init__(self) -> None:
        self.archives: dict[str, _Archive] = {}

    def get(self, filepath: str | Path) -> bytes:
        """Read a file.

        Raises:
            DataError: The archive cannot be read.
            MissingFileError: There is no such archive, or no such file in it.
        """
        path, name = split(str(filepath))
        archive = self._open(path)
        if name not in archive.places:
            raise MissingFileError(
                f'{filepath}: no such file among the {len(archive.places)} of {path}'
            )
        place = archive.places[name]
        data = archive.read(place)
        if len(data) != place.size:
            raise DataError(
                f'{filepath}: expected {place.size} bytes, found {len(data)}: {path} is truncated'
            )
        return data

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """Read a file as text."""
        return self.get(filepath).decode(encoding)

    @contextmanager
    def get_local_path(self, filepath: str | Path) -> Iterator[str]:
        """Yield the place of a copy of a file, which lasts as long as the block."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, Path(filepath).name)
            copy.write_bytes(self.get(filepath))
            yield str(copy)

    def exists(self, filepath: str | Path) -> bool:
        """Tell whether there is such a file or folder."""
        return self.isfile(filepath) or self.isdir(filepath)

    def isfile(self, filepath: str | Path) -> bool:
        """Tell whether there is such a file."""
        path, name = split(str(filepath))
        return os.path.isfile(path) and name in self._open(path).places

    def isdir(self, filepath: str | Path) -> bool:
        """Tell whether files lie below such a name."""
        path, name = split(str(filepath))
        return os.path.isfile(path) and any(True for _ in self._below(path, name))

    def join_path(self, filepath: str | Path, *filepaths: str | Path) -> str:
        """Join the parts of a path."""
        return os.path.join(filepath, *filepaths)

    def list_dir_or_file(
        self,
        dir_path: str | Path,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """Yield what lies in a folder, by names relative to it, as mmengine's backends do."""
        path, name = split(str(dir_path))
        folders: set[str] = set()
        for place in self._below(path, name):
            parts = place.split('/')
            folders.update('/'.join(parts[:depth]) for depth in range(1, len(parts)))
            if list_file and (recursive or len(parts) == 1) and place.endswith(suffix or ''):
                yield place
        if list_dir:
            yield from sorted(folder for folder in folders if recursive or '/' not in folder)

    def _below(self, path: str, name: str) -> Iterator[str]:
        start = '' if name == '.' else f'{name}/'
        names = self._open(path).places
        return (place.removeprefix(start) for place in names if place.startswith(start))

    def _open(self, path: str) -> Any:
        if path not in self.archives:
            self.archives[path] = _Archive(path)
        return self.archives[path]


def split(path: str) -> tuple[str, str]:
    """The archive and the name in it, '.' for all of it.

    Raises:
        DataError: The path is no such place.
    """
    archive, end, name = path.removeprefix(START).partition(f'{END}/')
    if not end:
        archive, end, name = path.removeprefix(START).removesuffix(END), END, ''
        if f'{START}{archive}{END}' != path:
            raise DataError(f'{path}: expected {START}ARCHIVE{END}/NAME')
    return archive + END, os.path.normpath(name or '.')
