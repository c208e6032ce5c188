"""Read lists of numbers from large JSON files one entry at a time.

FreiHAND's files are JSON lists of a gigabyte and more. `json.load` would turn one into Python
objects of ten times its size; here only the entry in hand is held.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from ..errors import DataError
from ..limits import HAND_NUMBER, JSON_ENTRY, JSON_SPACE

CHUNK = 1 << 20
MAX_ENTRY = JSON_ENTRY  # characters
MARGIN = 64
SHOWN = 24  # characters of what is no JSON, such as a web page
_SPACE = ' \t\r\n'
_SPACES = re.compile('[ \t\r\n]*')
_AFTER = tuple(_SPACE + ',]')


class JsonReader:
    """Walk through a JSON text from left to right.

    Args:
        stream: The text, open for reading.
        name: What error messages call it.
    """

    def __init__(self, stream: TextIO, name: str | Path) -> None:
        self.stream = stream
        self.name = str(name)
        self._decoder = json.JSONDecoder()
        self._text = ''
        self._at = 0
        self._ended = False

    def _read_more(self) -> None:
        try:
            chunk = self.stream.read(CHUNK)
        except UnicodeDecodeError as error:
            raise DataError(f'{self.name}: not a JSON text ({error})') from error
        self._text = self._text[self._at :] + chunk
        self._at = 0
        self._ended = not chunk

    def _peek(self) -> str:
        """The next character that is not white space; '' at the end of the file."""
        skipped = 0
        while True:
            start = self._at
            self._at = _SPACES.match(self._text, start).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            skipped += self._at - start
            if skipped > JSON_SPACE:
                raise DataError(f'{self.name}: expected JSON, found nothing but white space')
            if self._ended:
                return ''
            self._read_more()

    def expect(self, character: str, where: str) -> None:
        """Step over one character ('' stands for the end of the file).

        Raises:
            DataError: Something else stands there.
        """
        found = self._peek()
        if found != character:
            wanted = f'"{character}"' if character else 'the end of the file'
            shown = 1 if found in '[]{},:"' else SHOWN
            text = ' '.join(self._text[self._at : self._at + shown].split())
            seen = f'"{text}"' if found else 'the end of the file (is it truncated?)'
            raise DataError(f'{self.name}: {where}: expected {wanted}, found {seen}')
        self._at += len(character)

    def values(self, name: str = '') -> Iterator[object]:
        """The values of the list that starts here, decoded one by one.

        Args:
            name: What the list holds, for messages.

        Raises:
            DataError: No list, or one that is damaged or truncated.
        """
        where = f'{name} entry'.strip()
        self.expect('[', f'start of the list of {name}' if name else 'start of the list')
        if self._peek() == ']':
            self._at += 1
            return
        index = 0
        while True:
            yield self._value(f'{where} {index}')
            if self._peek() == ']':
                self._at += 1
                return
            self.expect(',', f'after {where} {index}')
            index += 1

    def _value(self, where: str) -> object:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number near the end of the text read so far may go on: 1, 10., 10.5e, ...
                if (
                    self._ended
                    or end < len(self._text) - MARGIN
                    or self._text[end : end + 1] in _AFTER
                ):
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                # Far from the end of the text read so far, more of it cannot mend the entry.
                if self._ended or error.pos < len(self._text) - MARGIN:
                    problem = error.msg if self._text[self._at :].strip() else 'nothing'
                    raise DataError(
                        f'{self.name}: {where}: expected a list of numbers, found {problem} '
                        f'near "{self._text[max(self._at, error.pos - 20) :][:40]}" '
                        '(is the file truncated?)'
                    ) from error
            except (RecursionError, ValueError) as error:
                raise DataError(
                    f'{self.name}: {where}: expected a list of numbers, found '
                    f'{type(error).__name__}: {error}'
                ) from error
            if len(self._text) - self._at > MAX_ENTRY:
                raise DataError(
                    f'{self.name}: {where}: expected at most {MAX_ENTRY} characters, found no end'
                )
            self._read_more()


def as_numbers(value: object, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    """One decoded entry as an array.

    Args:
        value: Nested lists of numbers.
        shape: What it must have; `None` stands for any length of at least 1.
        where: File, field and entry, for messages.

    Returns:
        A float64 array of finite numbers.

    Raises:
        DataError: Ragged lists, another shape, something else than numbers, NaN, infinity,
            numbers beyond `limits.HAND_NUMBER`.
    """
    wanted = ' x '.join('n' if n is None else str(n) for n in shape)
    wanted = f'{wanted} numbers' if wanted else 'a number'
    try:
        array = np.asarray(value)
    except ValueError:
        raise DataError(f'{where}: expected {wanted}, found uneven lists') from None
    fits = array.ndim == len(shape) and all(
        have == want or (want is None and have > 0)
        for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        found = ' x '.join(map(str, array.shape)) or f'{value!r:.40}'
        raise DataError(f'{where}: expected {wanted}, found {found}')
    if array.dtype.kind not in 'fiu':
        raise DataError(f'{where}: expected {wanted}, found {array.item(0)!r:.40}')
    array = array.astype(np.float64)
    large = np.abs(array) > HAND_NUMBER
    if large.any() and np.isfinite(array).all():
        found = array[large].flat[0]
        raise DataError(f'{where}: expected numbers up to {HAND_NUMBER:.0e}, found {found:.3e}')
    if not np.isfinite(array).all():
        index = np.argwhere(~np.isfinite(array))[0].tolist()
        raise DataError(
            f'{where}: expected finite numbers, found {array[tuple(index)]} at index {index}'
        )
    return array
