"""Checkpoints that appear whole: written beside, flushed to disk, renamed.

Whatever ends the process, a file under its own name is complete, and what stood there before stays
until it is.
"""

import errno
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import LocalBackend, register_backend

from ..errors import NotWrittenError
from .files import replacing

# what `replacing` leaves where its process is killed
LEFTOVER = re.compile(r'\.\d+\..*(\.pth|\.pt|last_checkpoint)')
BACKEND = 'fastvit_dense'  # mmengine's name of `WholeFileBackend`


def save_whole(content: Any, path: str | Path) -> None:
    """Do what `torch.save` does, but the file is whole or not there.

    Raises:
        NotWrittenError: As `write_whole`.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(buffer.getbuffer(), path)


def write_whole(content: bytes | memoryview, path: str | Path) -> None:
    """Write a file whose content is on the disk before it takes its name.

    Args:
        content: All of it.
        path: The file; its folder is there.

    Raises:
        NotWrittenError: It cannot be written; the message names the file, the reason, the bytes
            that it needs and those that are free. What stood there before stands there still.
    """
    path = Path(path)
    with _told(path, len(content)):
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, f'there is no folder {path.parent}')
        with replacing(path) as part, part.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _flush_folder(path.parent)


@contextmanager
def _told(path: Path, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotWrittenError(
            f'{path}: cannot be written: {error.strerror or error}; it needs {size:,} bytes, '
            f'{free_bytes(path)} are free'
        ) from error


def free_bytes(path: str | Path) -> str:
    """Bytes that are free on the disk of a file, in words: '1,024', or 'an unknown number'."""
    for folder in Path(path).absolute().parents:
        with suppress(OSError):
            return f'{shutil.disk_usage(folder).free:,}'
    return 'an unknown number'


def _flush_folder(folder: Path) -> None:
    """Make a rename last; some network file systems neither can nor need to."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: str | Path) -> list[str]:
    """Remove what killed writes left in a folder that no other process writes checkpoints into.

    Returns:
        Names of the files that were removed.
    """
    names = [path.name for path in Path(folder).glob('.*') if LEFTOVER.fullmatch(path.name)]
    for name in names:
        Path(folder, name).unlink(missing_ok=True)
    return names


@register_backend(BACKEND, force=True)
class WholeFileBackend(LocalBackend):
    """mmengine's local files, but those that it writes appear whole."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file; see `write_whole`."""
        write_whole(obj, filepath)
