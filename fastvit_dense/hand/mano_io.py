"""Reading MANO files without chumpy and without running what they contain; writing them as npz.

``MANO_RIGHT.pkl`` is a Python 2 pickle with chumpy and SciPy objects. Any pickle can run code, so
this reader resolves only the exact classes that such a file needs and refuses everything else.
"""

import hashlib
import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from .mano import ARRAY_SHAPES, PARENTS, ManoModel

KNOWN_RELEASES = {'fd5a9d35f914987cf1cc04ffe338caa1': 'MANO v1.2'}  # md5 of MANO_RIGHT.pkl

MISSING_FILE = (
    '{path}: no such MANO file. Register at https://mano.is.tue.mpg.de, download "Models & Code" '
    '(mano_v1_2.zip) and put its models/MANO_RIGHT.pkl at data/mano/MANO_RIGHT.pkl. '
    'Meanwhile the licence-free stand-in hand serves: mano=dict(standin=True) in the config, '
    'standin_mano() in Python.'
)

OPTIONAL = {'hands_coeffs': np.zeros((0, 45)), 'bs_style': 'lbs', 'bs_type': 'lrotmin'}


class ManoFileError(ValueError):
    """A MANO file that cannot be used; the message names file, field, expected and found."""


class _Node:
    """Stands for an object of a class that is never imported; keeps its saved state."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


class _Ch(_Node):
    """chumpy.ch.Ch: an array ``x``."""

    def resolve(self) -> np.ndarray:
        return _resolve(self.state['x'])


class _Select(_Node):
    """chumpy.reordering.Select: entries ``idxs`` of the flattened ``a``, in another shape."""

    def resolve(self) -> np.ndarray:
        entries = _numbers(self.state['a']).ravel()[_numbers(self.state['idxs'])]
        return entries.reshape(self.state['preferred_shape'])


class _CscMatrix(_Node):
    """scipy.sparse.csc_matrix."""

    def resolve(self) -> np.ndarray:
        parts = tuple(_numbers(self.state[name]) for name in ('data', 'indices', 'indptr'))
        matrix = sparse.csc_matrix(parts, shape=self.state['_shape'])
        matrix.check_format(full_check=True)
        return matrix.toarray()


def _resolve(value: Any) -> np.ndarray:
    return value.resolve() if isinstance(value, _Node) else np.asarray(value)


def _numbers(value: Any) -> np.ndarray:
    """What is resolved, if it holds numbers: entries of a forged type are never touched."""
    array = _resolve(value)
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'expected numbers, found type {array.dtype}')
    return array


def _latin1(text: str, encoding: str) -> bytes:
    """What Python 3 writes for raw bytes in a pickle of protocol 2."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'text encoding {encoding!r}')
    return text.encode('latin1')


_RECONSTRUCT_ARRAY = np.zeros(0).__reduce__()[0]

# Whole (module, name) pairs, in the spellings of Python 2 and 3 and of old and new libraries.
ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ('chumpy.ch', 'Ch'): _Ch,
    ('chumpy.reordering', 'Select'): _Select,
    ('scipy.sparse.csc', 'csc_matrix'): _CscMatrix,
    ('scipy.sparse._csc', 'csc_matrix'): _CscMatrix,
    ('numpy.core.multiarray', '_reconstruct'): _RECONSTRUCT_ARRAY,
    ('numpy._core.multiarray', '_reconstruct'): _RECONSTRUCT_ARRAY,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('__builtin__', 'set'): set,
    ('builtins', 'set'): set,
}


class _RestrictedUnpickler(pickle.Unpickler):
    """Resolves the pairs of ``ALLOWED`` and nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) == ('_codecs', 'encode'):
            return lambda text, encoding: _latin1(text, encoding)  # fresh: a pickle may change it
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f'it refers to {module}.{name}, which no MANO file needs; '
                'refused, nothing of it was run'
            ) from None


def read_mano(path: str | Path) -> ManoModel:
    """Read ``MANO_RIGHT.pkl`` (v1.2 or 1.0) or the ``.npz`` that :func:`save_npz` writes.

    Needs no chumpy and runs no code from the file. A file that is not a known release (by md5) is
    read with a warning.

    Args:
        path: the file; ``.npz`` by its suffix, else a pickle.

    Returns:
        The right hand's arrays.

    Raises:
        FileNotFoundError: says where to get the file and where to put it.
        ManoFileError: the file is damaged, refers to foreign classes, or a field is missing or has
            another shape or type; the message names file, field, expected and found.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(MISSING_FILE.format(path=path))
    if path.suffix == '.npz':
        fields = _read_npz(path)
        release = str(fields.get('release', '')) or None
    else:
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
        warnings.warn(
            f"{path}: looks like a left hand; ManoModel holds right hands, Mano(side='left') "
            'mirrors them',
            stacklevel=2,
        )
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
    """Write the arrays as ``.npz`` for :func:`read_mano`.

    MANO's licence forbids passing the result on.

    Raises:
        ValueError: ``path`` does not end in ``.npz``.
    """
    path = Path(path)
    if path.suffix != '.npz':
        raise ValueError(f'{path}: expected a name that ends in .npz')
    fields = {name: getattr(model, name) for name in ARRAY_SHAPES}
    fields |= {name: np.str_(getattr(model, name)) for name in ('bs_style', 'bs_type', 'name')}
    fields |= {'release': np.str_(model.release or ''), 'is_standin': np.bool_(model.is_standin)}
    np.savez_compressed(path, **fields)


def _read_pickle(path: Path, content: bytes) -> dict[str, Any]:
    try:
        fields = _RestrictedUnpickler(io.BytesIO(content), encoding='latin1').load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ManoFileError(f'{path}: not a MANO pickle: {_describe(error)}') from error
    if not isinstance(fields, dict):
        raise ManoFileError(f'{path}: expected a dict of arrays, found {type(fields).__name__}')
    for name in set(fields) & set(ARRAY_SHAPES):
        try:
            fields[name] = _resolve(fields[name])
        except Exception as error:  # so may its chumpy nodes
            raise ManoFileError(f'{path}: {name}: cannot be read: {_describe(error)}') from error
    return fields


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with path.open('rb') as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # damaged archives raise anything: zlib.error, TypeError, ...
        raise ManoFileError(f'{path}: not a MANO npz: {_describe(error)}') from error


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__


def _checked_arrays(path: Path, fields: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of ``ARRAY_SHAPES``, all present, with the right shapes and types."""
    missing = [name for name in ARRAY_SHAPES if name not in fields and name not in OPTIONAL]
    if missing:
        raise ManoFileError(
            f'{path}: missing {", ".join(missing)}; found {", ".join(sorted(map(str, fields)))}'
        )
    arrays = {}
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
    """Whether the mean pose bends the fingers to the side where a left hand has its palm."""
    joints = arrays['J']
    fingers = joints[4] - joints[0]
    thumbwards = joints[1] - joints[7]
    bend = arrays['hands_mean'].reshape(15, 3)[:12].sum(0)
    palmwards = np.cross(bend, fingers)
    return float(np.cross(fingers, thumbwards) @ palmwards) > 0
