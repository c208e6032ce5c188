"""FreiHAND's files: annotations as memory-mapped arrays, predictions as `pred.json`.

Formats after the FreiHAND repository's README and `eval.py`: metres, OpenCV camera frame (x right,
y down, z forward), joints in FreiHAND's order.
"""

import contextlib
import hashlib
import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TextIO

import numpy as np
from numpy.lib import format as npy

from ..checkpoints.files import replacing
from ..errors import DataError, MissingFileError, reason_of
from ..hand.camera import camera_problem
from ..hand.units import check_unit
from .json_stream import JsonReader, as_numbers

# One entry of each annotation file; `mano` holds 1 x 61 in the original files.
FIELDS = {'K': (3, 3), 'scale': (), 'xyz': (21, 3), 'verts': (778, 3), 'mano': (61,)}
CACHE_VERSION = 1


def annotation_prefix(ann_file: str | Path) -> Path:
    """The common part of the names of a split's files.

    Args:
        ann_file: `.../training`, or any one file of the set, such as `.../training_xyz.json`.
    """
    return Path(re.sub(rf'_({"|".join(FIELDS)})\.json$', '', str(ann_file)))


def annotation_file(prefix: Path, field: str) -> Path:
    """`.../training` and `xyz` give `.../training_xyz.json`."""
    return prefix.with_name(f'{prefix.name}_{field}.json')


def read_annotations(
    ann_file: str | Path,
    required: Iterable[str] = ('K', 'scale'),
    cache_dir: str | Path | None = None,
) -> dict[str, np.ndarray]:
    """The annotations of one split as read-only memory-mapped float32 arrays.

    Each JSON file is parsed once, entry by entry; the array is kept as
    `{prefix}_arrays/{field}-{size and time of the file}.npy` beside it, or below the user's cache
    folder where the data cannot be written to.

    Args:
        ann_file: `ROOT/training`, `ROOT/evaluation`, or any one file of such a set.
        required: Fields (see `FIELDS`) that must be there; others are read when they are.
        cache_dir: Another folder for the arrays.

    Returns:
        `K` (N, 3, 3) pixels, `scale` (N,) metres, `xyz` (N, 21, 3) and `verts` (N, 778, 3) metres,
        `mano` (N, 61), as far as there are files.

    Raises:
        MissingFileError: A required file is missing.
        DataError: A file is damaged, or the files differ in length.
    """
    prefix = annotation_prefix(ann_file)
    missing = [str(p) for f in required if not (p := annotation_file(prefix, f)).is_file()]
    if missing:
        raise MissingFileError(
            f'FreiHAND annotations: expected {", ".join(missing)}, found no such file. '
            'FreiHAND_pub_v2.zip and its evaluation annotations come from '
            'https://lmb.informatik.uni-freiburg.de/projects/freihand/; unpack both into one '
            'folder and set data_root to it, or use --sample'
        )
    arrays = {
        field: _open_array(path, field, Path(cache_dir) if cache_dir else None)
        for field in FIELDS
        if (path := annotation_file(prefix, field)).is_file()
    }
    lengths = {annotation_file(prefix, f).name: len(a) for f, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ', '.join(f'{name} {n}' for name, n in lengths.items())
        raise DataError(f'{prefix.parent}: expected lists of equal length, found entries: {listed}')
    return arrays


def _open_array(path: Path, field: str, cache_dir: Path | None) -> np.ndarray:
    state = path.stat()
    name = f'{field}-v{CACHE_VERSION}-{state.st_size:x}-{state.st_mtime_ns:x}.npy'
    prefix = annotation_prefix(path)
    digest = hashlib.sha256(str(prefix.resolve()).encode()).hexdigest()[:16]
    cache_home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    beside = prefix.with_name(f'{prefix.name}_arrays')
    places = [cache_dir] if cache_dir else [beside, cache_home / 'fastvit_dense' / digest]
    for place in places:
        if (place / name).is_file():
            with contextlib.suppress(
                ValueError, OSError, EOFError
            ):  # a damaged array is made again
                return _map(place / name, field)
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            temporary = place / f'.{field}-{os.getpid()}'
            output = temporary.open('wb')
        except OSError:
            if place == places[-1]:
                raise
            continue
        break
    try:
        with output:
            _parse(path, field, output)
        os.replace(temporary, place / name)
    finally:
        temporary.unlink(missing_ok=True)
    for old in place.glob(f'{field}-*.npy'):
        if old.name != name:
            old.unlink(missing_ok=True)
    return _map(place / name, field)


def _map(path: Path, field: str) -> np.ndarray:
    array = np.load(path, mmap_mode='r', allow_pickle=False)
    if array.shape[1:] != FIELDS[field] or array.dtype != np.float32:
        raise ValueError(f'{path}: not an array of {field}')
    return array


def _parse(path: Path, field: str, output: IO[bytes]) -> None:
    """Write one JSON list as a .npy file; the length in the header is filled in at the end."""
    shape = FIELDS[field]

    def header(count: int) -> None:
        output.seek(0)
        about = {'descr': '<f4', 'fortran_order': False, 'shape': (count, *shape)}
        npy.write_array_header_1_0(output, about)

    header(0)
    start, count = output.tell(), 0
    with path.open(encoding='utf-8-sig') as stream:
        reader = JsonReader(stream, path)
        for count, value in enumerate(reader.values(), start=1):
            where = f'{path}: {field} of entry {count - 1}'
            if field == 'mano' and isinstance(value, list) and len(value) == 1:
                value = value[0]
            array = as_numbers(value, shape, where)
            if field == 'K' and (problem := camera_problem(array)):
                raise DataError(f'{where}: {problem}')
            if field == 'scale' and array <= 0:
                raise DataError(f'{where}: expected a length above 0, found {array}')
            output.write(array.astype('<f4').tobytes())
        reader.expect('', 'after the list')
    if not count:
        raise DataError(f'{path}: expected at least one entry, found none')
    header(count)
    assert output.tell() == start, 'the header grew'


def write_predictions(
    path: str | Path, joints: Iterable[np.ndarray], vertices: Iterable[np.ndarray]
) -> Path:
    """Write FreiHAND's `pred.json`, or a `.zip` that holds it, as its eval.py takes it.

    `[list of joints, list of vertices]` with nine significant digits: float32 numbers come back as
    they were, so that saved hands score as they did. Both are walked through once, first the
    joints; the file appears when it is whole.

    Args:
        path: Ends in `.json` or `.zip`.
        joints: N arrays (21, 3), metres, camera frame, FreiHAND's order.
        vertices: N arrays (V, 3), metres, V the same for all.

    Returns:
        The path.

    Raises:
        DataError: Wrong shapes, NaN, or lists of unequal length.
    """
    path = Path(path)
    if path.suffix not in ('.json', '.zip'):
        raise DataError(f'{path}: expected a name that ends in .json or .zip')
    with replacing(path) as part:
        if path.suffix == '.zip':
            with (
                zipfile.ZipFile(part, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
                archive.open('pred.json', 'w', force_zip64=True) as output,
            ):
                _write(output, path, joints, vertices)
        else:
            with part.open('wb') as output:
                _write(output, path, joints, vertices)
    return path


def _write(output: IO[bytes], path: Path, joints: Iterable, vertices: Iterable) -> None:
    counts: list[int] = []
    for name, rows, entries in (('joints', 21, joints), ('vertices', None, vertices)):
        output.write(b', [' if counts else b'[[')
        count = 0
        for entry in entries:
            array = as_numbers(entry, (rows, 3), f'{path}: {name} of entry {count}')
            if rows is None:
                rows = len(array)
            row = ', '.join(['[%.9g, %.9g, %.9g]'] * rows)
            text = f'[{row}]' % tuple(array.ravel())
            output.write((f', {text}' if count else text).encode())
            count += 1
        output.write(b']')
        counts.append(count)
    output.write(b']')
    if counts[0] != counts[1]:
        raise DataError(
            f'{path}: expected lists of equal length, found {counts[0]} joints entries and '
            f'{counts[1]} vertices entries'
        )


def read_predictions(
    path: str | Path,
    count: int | None = None,
    reference: np.ndarray | None = None,
    dtype: type = np.float64,
) -> tuple[np.ndarray, np.ndarray]:
    """Read `pred.json`, or the `.zip` that holds it, entry by entry.

    Args:
        path: The file.
        count: How many predictions are expected.
        reference: True joints (N, 21, 3), for the check of the unit.
        dtype: Of the arrays returned.

    Returns:
        Joints (N, 21, 3) and vertices (N, V, 3), metres.

    Raises:
        MissingFileError: No such file.
        DataError: A damaged file, another number of entries than expected, uneven shapes, NaN,
            millimetres.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f'{path}: expected a file of predictions, found no such file')
    with _open_predictions(path) as stream:
        reader = JsonReader(stream, path)
        reader.expect('[', 'start of the file')
        joints = _read_list(reader, 'joints', 21, count, dtype)
        reader.expect(',', 'between the lists of joints and of vertices')
        vertices = _read_list(reader, 'vertices', None, count, dtype)
        reader.expect(']', 'after the lists of joints and of vertices')
        reader.expect('', 'after the predictions')
    if len(joints) != len(vertices):
        raise DataError(
            f'{path}: expected lists of equal length, found {len(joints)} joints entries and '
            f'{len(vertices)} vertices entries'
        )
    check_unit(joints, f'{path}: joints', reference)
    check_unit(vertices, f'{path}: vertices', reference)
    return joints, vertices


@contextlib.contextmanager
def _open_predictions(path: Path) -> Iterator[TextIO]:
    if not zipfile.is_zipfile(path):
        with path.open('rb') as file:
            if file.read(4) == b'PK\x03\x04':
                raise DataError(f'{path}: not a readable archive (is it truncated?)')
        with path.open(encoding='utf-8-sig') as stream:
            yield stream
        return
    try:
        with zipfile.ZipFile(path) as archive:
            if 'pred.json' not in archive.namelist():
                raise DataError(
                    f'{path}: expected pred.json in the archive, found {archive.namelist()[:5]}'
                )
            with archive.open('pred.json') as member:
                yield io.TextIOWrapper(member, encoding='utf-8-sig')
    except DataError:
        raise
    except (  # of zipfile where an archive is damaged
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        LookupError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        raise DataError(f'{path}: not a readable archive ({reason_of(error)})') from error


def _read_list(
    reader: JsonReader, name: str, rows: int | None, count: int | None, dtype: type
) -> np.ndarray:
    entries: list[np.ndarray] = []
    for index, value in enumerate(reader.values(name)):
        if index == count:
            raise DataError(f'{reader.name}: expected {count} {name} entries, found more')
        array = as_numbers(value, (rows, 3), f'{reader.name}: {name} of entry {index}')
        rows = len(array)
        entries.append(array.astype(dtype))
    if count is not None and len(entries) != count:
        raise DataError(f'{reader.name}: expected {count} {name} entries, found {len(entries)}')
    return np.stack(entries) if entries else np.zeros((0, rows or 778, 3), dtype)
