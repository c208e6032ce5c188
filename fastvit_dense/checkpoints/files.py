"""Writing files so that an interruption leaves none of them half-written; reading JSON."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

GZIP = b'\x1f\x8b'  # first bytes


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file aside; once the block has ended, it stands under its own name.

    An error or an interruption before that leaves what stood there.

    Args:
        path: The file; its folder is made if it does not exist.

    Yields:
        A hidden name beside it, of the same suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{os.getpid()}.{path.name[-50:]}')  # names have 255 bytes at most
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_files(folder: str | Path, contents: Mapping[str, str | bytes]) -> None:
    """Write files, text as UTF-8, into a folder, in two steps: all of them aside, then into place.

    An error or an interruption while writing leaves what stood there before, and no other file.

    Args:
        folder: Made if it does not exist.
        contents: By file name; the last one named is put into place last.
    """
    with ExitStack() as stack:  # its blocks end in reverse order
        for name, content in reversed(list(contents.items())):
            part = stack.enter_context(replacing(Path(folder, name)))
            if isinstance(content, bytes):
                part.write_bytes(content)
                continue
            # half characters (surrogates), which JSON may hold: as JSON spells them
            part.write_text(content, encoding='utf-8', errors='backslashreplace', newline='\n')


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; nesting without end is a ValueError too, as every other fault is."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError('lists or objects are nested too deep') from None


def read_json(path: Path, limit: int) -> Any:
    """Read a JSON file whose size and first character are looked at before all of it is read.

    Args:
        path: UTF-8, UTF-16 or UTF-32, with a byte order mark or without.
        limit: The most bytes that it may have.

    Raises:
        ValueError: It is no list and no object in JSON, cut off, nested too deep, larger than the
            limit, or a device or a pipe.
        OSError: It cannot be read.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError('expected a whole JSON file, found a folder, a device or a pipe')
    if not state.st_size:
        raise ValueError('expected a whole JSON file, found an empty file (0 bytes)')
    if state.st_size > limit:
        raise ValueError(f'expected at most {limit:,} bytes, found {state.st_size:,}')
    with path.open('rb') as file:
        start = file.read(1 << 12)
    if start[:2] == GZIP:
        raise ValueError('expected a list or an object in JSON, found a gzip archive; unpack it')
    text = start.decode(json.detect_encoding(start), 'ignore').lstrip('\ufeff \t\r\n')
    if text and text[0] not in '[{':
        raise ValueError(f'expected a list or an object in JSON, found {text[:20]!r}')
    try:
        return parse_json(path.read_bytes())
    except ValueError as error:
        lines = '; of JSON lines make one list' if str(error).startswith('Extra data') else ''
        raise ValueError(
            f'expected a whole JSON file, found it broken or truncated: {error} '
            f'(the file has {state.st_size:,} bytes){lines}'
        ) from None


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
