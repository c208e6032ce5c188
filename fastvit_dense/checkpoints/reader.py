"""Reading of checkpoints: one way in, which never runs code that a file brings along.

`torch.load(weights_only=True)` builds nothing but tensors, containers and the few types listed in
`_safe_types`. There is no fallback. `mmengine_loading` puts every read of mmengine
through it.
"""

import functools
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO
from zipfile import is_zipfile

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from torch import Tensor

from ..errors import CheckpointError, reason_of


class _Refused(Exception):
    """Something that is not safe to build; raised inside the unpickler."""


def load_checkpoint_file(path: str | Path, map_location: Any = 'cpu', lazy: bool = False) -> Any:
    """Read a file that `torch.save` wrote, or a `.safetensors` file, without running its code.

    Args:
        path: A local file.
        map_location: As for `torch.load`; `.safetensors` files are always read to the CPU.
        lazy: Leave the tensors of a file that `torch.save` wrote on the disk until they are used:
            what else it holds is read in milliseconds. Damage to the tensors is not noticed.

    Returns:
        What was saved: usually a dict.

    Raises:
        CheckpointError: There is no such file, or it is empty, damaged, not a checkpoint, or holds
            objects of a type that is not known to be safe.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f'{path}: there is no such file')
    if path.stat().st_size == 0:
        raise CheckpointError(f'{path}: the file is empty (zero bytes); download or save it again')
    if path.suffix == '.safetensors':
        return _read_safetensors(path)
    with path.open('rb') as file:
        return _read_pickle(file, path, map_location, lazy and is_zipfile(path))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise CheckpointError(f'{path}: install safetensors to read this file') from None
    try:
        return load_file(path)
    except SafetensorError as error:
        reason = reason_of(error)
        raise CheckpointError(f'{path}: damaged or not a .safetensors file ({reason})') from error


def _read_pickle(
    file: BinaryIO, name: str | Path, map_location: Any, in_place: bool = False
) -> Any:
    start = file.read(64).lstrip().lower()
    file.seek(0)
    if start.startswith((b'<!doctype', b'<html', b'<?xml')):
        raise CheckpointError(f'{name}: a web page, not a checkpoint; download the file itself')
    if start.startswith(b'version https://git-lfs'):
        raise CheckpointError(f'{name}: a Git LFS pointer; run `git lfs pull` to get the file')
    try:
        with torch.serialization.safe_globals(_safe_types()):
            source = str(name) if in_place else file
            return torch.load(source, map_location, weights_only=True, mmap=in_place)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a damaged pickle fails in any way
        raise CheckpointError(f'{name}: {_reason(error)}') from error


def _reason(error: Exception) -> str:
    text = str(error).strip()
    refused = re.search(r'GLOBAL (\S+) (?:was not an allowed|whose module)', text)
    if refused or isinstance(error, _Refused):
        what = f'a {refused[1]}' if refused else text
        return (
            f'refused, because it holds {what}, which is not among the types that are safe to '
            'read; nothing of it was run. Where you trust its source, save its weights again as '
            'tensors only: torch.save(model.state_dict(), path)'
        )
    if 'TorchScript' in text:
        return 'a TorchScript program, not a checkpoint; save its state_dict() instead'
    if 'CUDA' in text and 'deserializ' in text:
        return 'its tensors were saved on a GPU, and there is none: read it with map_location="cpu"'
    # torch's advice on pickles it cannot read is to switch its protection off
    detail = '' if isinstance(error, UnpicklingError) else f' ({text[:160]})' if text else ''
    return f'truncated, damaged or not a checkpoint; download or save it again{detail}'


@functools.cache
def _safe_types() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return (what to use, the name that files give it) for all types beyond torch's own.

    The unpickler calls what a name stands for with arguments from the file, and lets the file set
    the state of instances of the listed types. `numpy.ndarray` and `builtins.getattr`, which
    mmengine's files name, would hand over memory and modules, so both stand for harmless
    functions here, and the array and dtype types are listed for their state alone, below a name
    that no file can spell (names end with the line).
    """
    stateful: set[type] = {np.ndarray, *(type(np.dtype(code)) for code in '?bhilqBHILQefdFD')}
    state_only = [(kind, f'{kind.__name__}\n') for kind in stateful]
    return [
        *state_only,
        (_array_type, 'numpy.ndarray'),
        (_numeric_dtype, 'numpy.dtype'),
        *((_empty_array, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
        *((_number, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        (_History, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_no_method, 'builtins.getattr'),
        (bytes, 'builtins.bytes'),  # an empty array's
        (ConfigDict, 'mmengine.config.config.ConfigDict'),
        (Namespace, 'argparse.Namespace'),
    ]


def _array_type(*_: Any) -> None:
    raise _Refused('an array that is made without its dtype being checked')


def _numeric_dtype(code: str, *_: Any) -> np.dtype:
    """Stand for `numpy.dtype`: only built-in numeric types, whose state numpy does not change."""
    if not isinstance(code, str) or not re.fullmatch('b1|[iu][1248]|f[248]|c(8|16)', code):
        raise _Refused(f'an array of dtype {code!r}; numbers only are allowed')
    return np.dtype(code)


def _empty_array(*_: Any) -> np.ndarray:
    """Stand for numpy's `_reconstruct`; the file then sets shape, dtype and values."""
    return np.empty(0, np.uint8)


def _number(dtype: np.dtype, data: bytes) -> np.generic:
    """Stand for numpy's `scalar`."""
    number: np.generic = np.frombuffer(data, dtype, count=1)[0]
    return number


def _no_method(*_: Any) -> None:
    """Stand for `getattr`, with which a HistoryBuffer names methods that it has anyway."""


class _History(HistoryBuffer):
    """Stand-in for a HistoryBuffer while its state is set, which becomes one."""

    def __setstate__(self, state: dict) -> None:
        arrays = state['_log_history'], state['_count_history']
        if not all(type(array) is np.ndarray for array in arrays):
            raise _Refused('a HistoryBuffer without arrays')
        self.__class__ = HistoryBuffer
        HistoryBuffer.__init__(self, *arrays, max_length=int(state['max_length']))
