"""The files of a folder of annotated pictures: listed once, read within limits."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import yaml

from ...errors import DataError, MissingFileError, reason_of
from ...limits import LABEL_BYTES, TREE_FILES, XML_DEPTH
from ..decoding import size_of
from ..picture_suffixes import PICTURE_SUFFIXES
from ..values import is_number
from .coco import read_json

ENDS = (b'}', b']')  # of JSON files
UNSEEN = ('__MACOSX', '__pycache__')


class UnreadablePicture(DataError):
    """A picture whose header cannot be read."""


class Tree:
    """A folder and the files below it.

    Args:
        root: The folder. Hidden files and folders are left out.

    Raises:
        MissingFileError: There is no such folder.
        DataError: It is no folder, cannot be read, or holds more than `limits.TREE_FILES` files.

    Attributes:
        root: The folder.
        files: The files, sorted.
        pictures: Those that are pictures, by their suffix.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.exists():
            raise MissingFileError(f'{root}: expected a folder of annotated pictures, found none')
        if not self.root.is_dir():
            raise DataError(
                f'{root}: expected a folder of annotated pictures, found a file; unpack an '
                'archive, or name the folder that it is in'
            )
        self.files = sorted(self._walk())
        self.pictures = [f for f in self.files if f.suffix.lower() in PICTURE_SUFFIXES]
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.pictures:
            self._by_name[path.name.lower()].append(path)
        self._known = set(self.pictures)
        self._json: dict[Path, Any] = {}

    def _walk(self) -> Iterable[Path]:
        count = 0
        seen = set()  # folders that links lead to again
        for folder, folders, names in os.walk(self.root, onerror=_refuse, followlinks=True):
            if (place := os.path.realpath(folder)) in seen:
                folders.clear()
                continue
            seen.add(place)
            folders[:] = sorted(f for f in folders if f[0] != '.' and f not in UNSEEN)
            count += len(names)
            if count > TREE_FILES:
                raise DataError(
                    f'{self.root}: expected at most {TREE_FILES:,} files below it, found more'
                )
            yield from (Path(folder, name) for name in names if name[0] != '.')

    def of(self, *suffixes: str) -> list[Path]:
        """The files of these suffixes."""
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def json(self, path: Path) -> Any:
        """The content of a JSON file, read once; without labelme's copy of the picture."""
        if path not in self._json:
            content = read_json(path)
            if isinstance(content, dict):
                content.pop('imageData', None)
            self._json[path] = content
        return self._json[path]

    def json_or_none(self, path: Path) -> Any:
        """The same; None of a file that is none."""
        try:
            return self.json(path)
        except DataError:
            return None

    def refuse_cut_json(self) -> None:
        """See that every JSON file has an end: one that was cut may hold annotations.

        Raises:
            DataError: One has none.
        """
        for path in self.of('.json'):
            if path.is_file() and _last_bytes(path).replace(b'\0', b'').rstrip()[-1:] not in ENDS:
                self.json(path)  # which tells what is wrong

    def picture(self, name: str, *folders: Path) -> Path | None:
        """Find a picture by the name that an annotation gives it.

        Args:
            name: A path with either kind of slash, whose folders may be those of another machine.
            *folders: Where to look first.

        Returns:
            The file in one of the folders, or the only picture of that name, if need be but for
            capitals; None: there is none, or several.
        """
        plain = name.replace('\\', '/')
        parts = Path(plain).parts
        if '..' not in parts and not plain.startswith('/'):
            for folder in folders:
                for path in (folder / plain, folder / parts[-1] if parts else folder):
                    if path in self._known:
                        return path
        like = self._by_name.get(parts[-1].lower() if parts else '', [])
        found = [path for path in like if path.name == parts[-1]] or like
        return found[0] if len(found) == 1 else None

    def shown(self, path: Path) -> str:
        """A path as messages name it."""
        return str(path)


def _last_bytes(path: Path, count: int = 1024) -> bytes:
    with path.open('rb') as file:
        file.seek(max(0, path.stat().st_size - count))
        return file.read()


def _refuse(error: OSError) -> None:
    raise DataError(f'{error.filename}: cannot be read: {error.strerror or reason_of(error)}')


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, as it is read.

    Raises:
        UnreadablePicture: Its header does not tell.
    """
    size = size_of(path)
    if size is None:
        found = 'found a file that cannot be read as one' if _length(path) else 'found 0 bytes'
        raise UnreadablePicture(f'{path}: expected a picture, {found}; mend it, or take it out')
    return size


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # such as a link that leads nowhere
        return 1


def read_bytes(path: Path) -> bytes:
    """A file of annotations of one picture, or of settings, of at most `limits.LABEL_BYTES`.

    Raises:
        DataError: It is larger, or cannot be read.
    """
    try:
        if not path.is_file():
            raise DataError(f'{path}: expected a file, found none, or a folder, a device or a pipe')
        size = path.stat().st_size
        if size > LABEL_BYTES:
            raise DataError(f'{path}: expected at most {LABEL_BYTES:,} bytes, found {size:,}')
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or reason_of(error)}') from None


def read_text(path: Path) -> str:
    """The text of such a file.

    Raises:
        DataError: It is no UTF-8 or UTF-16, too large, or cannot be read.
    """
    data = read_bytes(path)
    encoding = 'utf-16' if data[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig'
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f'{path}: expected text in UTF-8, found {reason_of(error)}') from None


def class_lines(path: Path) -> list[str]:
    """The names of classes in a text file, one a line; their places count.

    Raises:
        DataError: There is none, or an empty line between two.
    """
    lines = [line.strip() for line in read_text(path).rstrip().splitlines()]
    if not any(lines):
        raise DataError(f'{path}: expected one class a line, found none')
    if '' in lines:
        raise DataError(
            f'{path}: line {lines.index("") + 1}: expected a class, found an empty line, which '
            'leaves open what the numbers of the classes behind it are'
        )
    return lines


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; it runs no code.

    Raises:
        DataError: It is none.
    """
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = ' '.join(reason_of(error).split())
        raise DataError(f'{path}: expected YAML, found it broken: {reason:.200}') from None


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file; document types, and with them entities, are refused.

    Raises:
        DataError: It is broken, declares a document type, or is nested too deep.
    """
    data = read_bytes(path)
    builder = ElementTree.TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > XML_DEPTH:
            raise DataError(f'{path}: expected at most {XML_DEPTH} elements within each other')
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: Any) -> None:
        raise DataError(
            f'{path}: expected XML without a document type, found one (<!DOCTYPE); such '
            'declarations can take memory without end'
        )

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError, AssertionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f'{path}: expected an XML file, found it broken or truncated: {reason_of(error)}'
        ) from None


def number(value: Any, where: str) -> float:
    """A finite number, or a text that spells one.

    Raises:
        DataError: It is none; the message begins with `where`.
    """
    found = value
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            found = None
    if not is_number(found):
        raise DataError(f'{where}: expected a number, found {value!r:.60}')
    return float(found)


def numbers(values: Any, where: str, least: int = 0) -> list[float]:
    """A list of finite numbers, at least so many.

    Raises:
        DataError: It is none.
    """
    if not isinstance(values, list | tuple) or len(values) < least:
        raise DataError(
            f'{where}: expected a list of {least} numbers or more, found {values!r:.60}'
        )
    return [number(value, f'{where}[{i}]') for i, value in enumerate(values)]


def text(value: Any, where: str) -> str:
    """A text that is not empty.

    Raises:
        DataError: It is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise DataError(f'{where}: expected a text, found {value!r:.60}')
    return value.strip()


def mapping(value: Any, where: str) -> dict:
    """A dict.

    Raises:
        DataError: It is none.
    """
    if not isinstance(value, dict):
        raise DataError(f'{where}: expected an object with fields, found {value!r:.60}')
    return value
