"""Reading MANO files without chumpy and without running what they contain; writing them as npz."""

import hashlib
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.files import replacing
from ..checkpoints.reader import foreign_kind
from ..errors import ManoFileError, MissingFileError, reason_of
from ..limits import MANO_BYTES
from .mano import ARRAY_SHAPES, PARENTS, ManoModel
from .mano_pickle import PickleError, read_pickle, resolve, shortened
from .units import HAND_SIZE, hand_size, unit_of

KNOWN_RELEASES = {'fd5a9d35f914987cf1cc04ffe338caa1': 'MANO v1.2'}  # md5 of MANO_RIGHT.pkl
MISSING_FILE = (
    '{path}: no such MANO file. Register at https://mano.is.tue.mpg.de, download "Models & Code" '
    '(mano_v1_2.zip) and put its models/MANO_RIGHT.pkl at data/mano/MANO_RIGHT.pkl. '
    'Meanwhile the licence-free stand-in hand serves: --cfg-options model.mano.standin=True, '
    "mano='standin' of a dataset, standin_mano() in Python."
)
LEFT_HAND = (
    '{path}: expected the right hand (MANO_RIGHT.pkl), found a left one. A ManoModel is a right '
    "hand, of which Mano(model, side='left') makes the left one; mirrored again, a left hand "
    'would become a right one'
)
MAX_BYTES = MANO_BYTES
TEXTS = {'bs_style', 'bs_type', 'name'}
OPTIONAL = {'hands_coeffs': np.zeros((0, 45)), 'bs_style': 'lbs', 'bs_type': 'lrotmin'}


def read_mano(path: str | Path) -> ManoModel:
    """Read `MANO_RIGHT.pkl` (v1.2 or 1.0) or the `.npz` that `save_npz` writes.

    Needs no chumpy and runs no code from the file. A file that is not a known release (by md5) is
    read with a warning. `MANO_LEFT.pkl` is refused: left hands are mirrored right hands here (the
    left file's own shape basis is known to be that of the right hand, not mirrored).

    Args:
        path: The file; `.npz` by its suffix or its content, else a pickle.

    Returns:
        The right hand's arrays.

    Raises:
        MissingFileError: Says where to get the file and where to put it.
        ManoFileError: The file holds a left hand, is damaged, refers to foreign classes, or a field
            is missing or has another shape or type; the message names file, field, expected and
            found.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(MISSING_FILE.format(path=path))
    if path.suffix == '.npz' or zipfile.is_zipfile(path):
        fields = _read_npz(path)
        release = str(fields.get('release', '')) or None
    else:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ManoFileError(f'{path}: expected at most {MAX_BYTES:,} bytes, found {size:,}')
        content = path.read_bytes()
        fields = _read_pickle(path, content)
        release = KNOWN_RELEASES.get(hashlib.md5(content, usedforsecurity=False).hexdigest())
        if release is None:
            warnings.warn(
                f'{path}: md5 differs from that of {", ".join(KNOWN_RELEASES.values())}; '
                'read all the same',
                stacklevel=2,
            )
    arrays = _checked_arrays(path, fields)
    if _looks_left(arrays):
        raise ManoFileError(LEFT_HAND.format(path=path))
    is_standin = bool(fields.get('is_standin', False))
    return ManoModel(
        **arrays,
        bs_style=str(fields.get('bs_style', OPTIONAL['bs_style'])),
        bs_type=str(fields.get('bs_type', OPTIONAL['bs_type'])),
        name=str(fields.get('name', release or 'MANO (unknown release)')),
        release=release,
        is_standin=is_standin,
    )


def save_npz(model: ManoModel, path: str | Path) -> None:
    """Write the arrays as `.npz` for `read_mano`.

    MANO's licence forbids passing the result on.

    Raises:
        ManoFileError: `path` does not end in `.npz`.
    """
    path = Path(path)
    if path.suffix != '.npz':
        raise ManoFileError(f'{path}: expected a name that ends in .npz')
    fields = {name: getattr(model, name) for name in ARRAY_SHAPES}
    fields |= {name: np.str_(getattr(model, name)) for name in ('bs_style', 'bs_type', 'name')}
    fields |= {'release': np.str_(model.release or ''), 'is_standin': np.bool_(model.is_standin)}
    with replacing(path) as part:
        np.savez_compressed(part, **fields)


def _read_pickle(path: Path, content: bytes) -> dict[str, Any]:
    if foreign := foreign_kind(content[:64]):
        raise ManoFileError(f'{path}: expected a MANO file, found {foreign}')
    try:
        fields = read_pickle(content)
    except PickleError as error:
        raise ManoFileError(f'{path}: not a MANO pickle: {error}') from error
    if not isinstance(fields, dict):
        raise ManoFileError(f'{path}: expected a dict of arrays, found {type(fields).__name__}')
    for name in fields.keys() & ARRAY_SHAPES.keys():
        try:
            fields[name] = resolve(fields[name])
        except Exception as error:  # what a damaged or forged object holds may raise anything
            raise ManoFileError(f'{path}: {name}: cannot be read: {_describe(error)}') from error
    for name in fields.keys() & TEXTS:
        if not isinstance(fields[name], str):
            found = type(fields[name]).__name__
            raise ManoFileError(f'{path}: {name}: expected text, found {found}')
    return fields


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as members:
            unpacked = sum(member.file_size for member in members.infolist())
        if unpacked > MAX_BYTES:
            raise ValueError(f'expected at most {MAX_BYTES:,} bytes unpacked, found {unpacked:,}')
        with path.open('rb') as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # damaged archives raise anything: zlib.error, TypeError, ...
        raise ManoFileError(f'{path}: not a MANO npz: {_describe(error)}') from error


def _describe(error: Exception) -> str:
    return shortened(reason_of(error))


def _checked_arrays(path: Path, fields: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of `ARRAY_SHAPES`, all present, with the right shapes and types."""
    missing = [name for name in ARRAY_SHAPES if name not in fields and name not in OPTIONAL]
    if missing:
        raise ManoFileError(
            f'{path}: missing {", ".join(missing)}; found '
            f'{shortened(", ".join(sorted(map(str, fields))))}'
        )
    arrays: dict[str, np.ndarray] = {}
    for name, shape in ARRAY_SHAPES.items():
        array = np.asarray(fields.get(name, OPTIONAL.get(name)))
        if array.dtype.kind not in 'fiu':
            raise ManoFileError(f'{path}: {name}: expected numbers, found type {array.dtype}')
        if len(array.shape) != len(shape) or any(
            want not in (None, have) for want, have in zip(shape, array.shape, strict=True)
        ):
            text = ' x '.join('N' if size is None else str(size) for size in shape)
            raise ManoFileError(f'{path}: {name}: expected shape {text}, found {array.shape}')
        if not np.isfinite(array).all():
            raise ManoFileError(f'{path}: {name}: expected finite numbers, found NaN or infinity')
        arrays[name] = array.astype(np.float64)

    if unit := unit_of(hand_size(arrays['v_template'][None]), HAND_SIZE):
        raise ManoFileError(
            f'{path}: v_template: expected vertices in metres, found {unit[0]}: divide v_template, '
            f'J, shapedirs and posedirs by {unit[1]:.4g}'
        )
    faces = arrays['f']
    if faces.min() < 0 or faces.max() >= 778:
        raise ManoFileError(
            f'{path}: f: expected vertex numbers 0 to 777, found {faces.min():.0f} to '
            f'{faces.max():.0f}'
        )
    arrays['f'] = faces.astype(np.uint32)
    tree = arrays['kintree_table'].astype(np.int64)
    tree[0, 0] = -1 if tree[0, 0] in (-1, 2**32 - 1) else tree[0, 0]
    if tuple(tree[0]) != PARENTS:
        raise ManoFileError(
            f'{path}: kintree_table: expected parents {PARENTS}, found {tuple(tree[0].tolist())}'
        )
    arrays['kintree_table'] = tree
    return arrays


def _looks_left(arrays: dict[str, np.ndarray]) -> bool:
    """Tell whether the mean pose bends the fingers to the side where a left hand has its palm."""
    joints = arrays['J']
    fingers = joints[4] - joints[0]
    thumbwards = joints[1] - joints[7]
    bend = arrays['hands_mean'].reshape(15, 3)[:12].sum(0)
    palmwards = np.cross(bend, fingers)
    return float(np.cross(fingers, thumbwards) @ palmwards) > 0
