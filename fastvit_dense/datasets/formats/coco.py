"""Reading COCO annotation files: one way for training, checking and scoring."""

import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.fileio import get_local_path

from ...checkpoints import files
from ...errors import DataError, MissingFileError, reason_of
from ...limits import JSON_BYTES

# fields that hold whole numbers, which some tools write as 640.0
WHOLE_NUMBERS = {
    'images': ('id', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id'),
    'categories': ('id',),
}
FLAGS = ('iscrowd', 'ignore')  # of annotations: 0 or 1, or false or true


def read_json(path: str | Path, backend_args: dict | None = None) -> Any:
    """Read an annotation file of any encoding of `checkpoints.files.read_json`.

    Raises:
        MissingFileError: There is no such file.
        DataError: It is no list and no object in JSON, cut off, larger than `limits.JSON_BYTES`,
            or cannot be read.
    """
    with get_local_path(str(path), backend_args=backend_args) as local_path:
        try:
            content = files.read_json(Path(local_path), JSON_BYTES)
            _check_single_lists(Path(local_path))
            return content
        except FileNotFoundError:
            raise MissingFileError(f'annotation file {path} does not exist') from None
        except ValueError as error:
            raise DataError(f'{path}: {error}') from None
        except OSError as error:
            reason = error.strerror or reason_of(error)
            raise DataError(f'{path}: cannot be read: {reason}') from None


def _check_single_lists(path: Path) -> None:
    """See that no list of a file stands there twice: of two, JSON keeps the second.

    Raises:
        ValueError: One does.
    """
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        keys = [f'"{key}"'.encode() for key in WHOLE_NUMBERS]
        if all(text.find(key) == text.rfind(key) for key in keys):
            return

    def check(pairs: list[tuple[str, Any]]) -> dict:
        names = [name for name, _ in pairs]
        for name in WHOLE_NUMBERS:
            if names.count(name) > 1:
                raise ValueError(
                    f'expected {name!r} once, found it {names.count(name)} times, of which JSON '
                    'keeps the last; put their entries into one list'
                )
        return dict(pairs)

    json.loads(path.read_bytes(), object_pairs_hook=check)


def read_coco(path: str | Path, backend_args: dict | None = None) -> dict[str, Any]:
    """Read an annotation file; the entries are not judged.

    Args:
        path: The JSON file.
        backend_args: mmengine's file backend.

    Raises:
        MissingFileError: There is no such file.
        DataError: `read_json` refuses it, or it is not an object with lists of `images` and
            `categories`.
    """
    content = read_json(path, backend_args)
    if not isinstance(content, dict):
        raise DataError(
            f'{path}: expected an object with images, annotations and categories, found a '
            f'{type(content).__name__}'
        )
    for key in WHOLE_NUMBERS:
        if key == 'annotations' and key not in content:  # COCO's test-dev
            continue
        if not isinstance(content.get(key), list):
            found = type(content[key]).__name__ if key in content else f'only {", ".join(content)}'
            raise DataError(f'{path}: expected a list {key!r}, found {found}')
    make_whole(content)
    _name_files(content['images'])
    return content


def _name_files(images: list) -> None:
    """Name the files of LVIS's images, which have addresses alone, as mmdet does."""
    for image in images:
        if isinstance(image, dict) and isinstance(image.get('coco_url'), str):
            image.setdefault('file_name', image['coco_url'].split('/', 3)[-1])


def make_whole(content: dict[str, Any]) -> None:
    """Turn whole numbers written as 640.0, and flags written as true or false, into integers."""
    for key, fields in WHOLE_NUMBERS.items():
        flags = FLAGS if key == 'annotations' else ()
        for entry in content.get(key, ()):
            if not isinstance(entry, dict):
                continue
            for name in fields:
                value = entry.get(name)
                if isinstance(value, float) and value.is_integer():
                    entry[name] = int(value)
            for name in flags:
                if entry.get(name) in (0, 1):  # 0.0 and false, too
                    entry[name] = int(entry[name])


def absent_ids(names: Iterable[str]) -> dict[str, int]:
    """Give classes that a file has no category of ids that no category has: -1, -2, ..."""
    return {name: -1 - place for place, name in enumerate(names)}
