"""Reading of checkpoints: one way in, which never runs code that a file brings along.

`torch.load(weights_only=True)` builds nothing but tensors, containers and the few types listed in
`_safe_types`. There is no fallback. `mmengine_loading` puts every read of mmengine
through it. What would take much more memory than the file has bytes is refused.
"""

import functools
import os
import re
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from torch import Tensor

from ..errors import CheckpointError, reason_of
from ..limits import DIRECTORY_BYTES, NESTING, REPEATED_BYTES, UNPACKED_RATIO, UNPACKED_SPARE


class _Refused(Exception):
    """Something that is not safe to build; raised inside the unpickler too."""


def load_checkpoint_file(path: str | Path, map_location: Any = 'cpu', lazy: bool = False) -> Any:
    """Read a file that `torch.save` wrote, or a `.safetensors` file, without running its code.

    Which of them it is follows from the content, whatever the name. A checkpoint in several files
    is read by its index (`*.index.json`) or its folder.

    Args:
        path: A local file, or the folder of a sharded checkpoint.
        map_location: As for `torch.load`; `.safetensors` files are always read to the CPU.
        lazy: Leave the tensors of a file that `torch.save` wrote on the disk until they are used:
            what else it holds is read in milliseconds. Damage to the tensors is not noticed.

    Returns:
        What was saved: usually a dict.

    Raises:
        CheckpointError: There is no such file, or it is empty, damaged, not a checkpoint, holds
            objects of a type that is not known to be safe, or asks for too much memory.
    """
    from .shards import find_in_folder, is_index, read_shards

    path = Path(path).expanduser()
    if path.is_dir():
        path = find_in_folder(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: there is no such file')
    if path.stat().st_size == 0:
        raise CheckpointError(f'{path}: the file is empty (zero bytes); download or save it again')
    if is_index(path):
        return read_shards(path, load_checkpoint_file)
    with path.open('rb') as file:
        if _is_safetensors(file, path):
            return _read_safetensors(path)
        return _read_pickle(file, path, map_location, lazy and zipfile.is_zipfile(path))


def _is_safetensors(file: BinaryIO, path: Path) -> bool:
    """Tell by the content: the length of a header in JSON, then the header."""
    start = file.read(64)
    file.seek(0)
    length, rest = int.from_bytes(start[:8], 'little'), start[8:].lstrip()
    if rest.startswith(b'{') and 2 <= length <= path.stat().st_size - 8:
        return True
    return path.suffix == '.safetensors' and not foreign_kind(start) and start[:2] != b'PK'


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise CheckpointError(f'{path}: install safetensors to read this file') from None
    try:
        return load_file(path)
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        reason = reason_of(error)
        raise CheckpointError(f'{path}: damaged or not a .safetensors file ({reason})') from error


def foreign_kind(start: bytes) -> str | None:
    """Say what a file is by its first bytes where it is no checkpoint at all."""
    start = start.removeprefix(b'\xef\xbb\xbf').lstrip().lower()
    if start.startswith((b'<!doctype', b'<html', b'<?xml')):
        return 'a web page; download the file itself'
    if start.startswith(b'version https://git-lfs'):
        return 'a Git LFS pointer; run `git lfs pull` to get the file'
    return None


def _read_pickle(
    file: BinaryIO, name: str | Path, map_location: Any, in_place: bool = False
) -> Any:
    start = file.read(64)
    foreign = foreign_kind(start)
    file.seek(0)
    if foreign:
        raise CheckpointError(f'{name}: expected a checkpoint, found {foreign}')
    try:
        _check_size(file)
        file.seek(0)
        with torch.serialization.safe_globals(_safe_types()):
            source = str(name) if in_place else file
            content = torch.load(source, map_location, weights_only=True, mmap=in_place)
        _check_content(content)
        return content
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a damaged pickle fails in any way
        raise CheckpointError(f'{name}: {_reason(error, start)}') from error


def _check_size(file: BinaryIO) -> None:
    """Refuse an archive that unpacks to much more than its size, and claims of empty memory."""
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    program = file.read(UNPACKED_SPARE)
    if zipfile.is_zipfile(file):
        if _directory_size(file) > DIRECTORY_BYTES:
            raise _Refused('a table of contents without end', 'too much')
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked > UNPACKED_RATIO * packed + UNPACKED_SPARE:
                raise _Refused(f'{unpacked:,} bytes in a file of {packed:,}', 'too much')
            pickles = [m for m in members if m.filename.endswith('data.pkl')]
            if not pickles:
                names = ', '.join(member.filename for member in members[:4])
                raise _Refused(names[:160] or 'nothing', 'archive')
            program = b''.join(archive.read(member) for member in pickles)
    if re.search(rb'c(builtins|__builtin__)\nbytearray\n', program):
        raise _Refused('a bytearray')


def _directory_size(file: BinaryIO) -> int:
    """Size of an archive's table of contents, by its last record (APPNOTE.TXT, 4.3.14, 4.3.16)."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - (1 << 16) - 98, 0))
    tail = file.read()
    place = tail.rfind(b'PK\x05\x06')
    size = int.from_bytes(tail[place + 12 : place + 16], 'little')
    large = tail.rfind(b'PK\x06\x06', 0, place)
    if size == 0xFFFFFFFF and large >= 0:  # the record of archives beyond 4 GB
        size = int.from_bytes(tail[large + 40 : large + 48], 'little')
    return size


def _check_content(content: Any) -> None:
    """Refuse what is nested without end, and tensors that are much larger than their memory."""
    level: list[Any] = [content]
    seen: set[int] = set()
    for _ in range(NESTING):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Tensor):
                _check_memory(value)
            elif isinstance(value, dict | list | tuple | set) and id(value) not in seen:
                seen.add(id(value))
                inner += value.values() if isinstance(value, dict) else value
        if not inner:
            return
        level = inner
    raise _Refused(f'lists or dicts more than {NESTING} deep', 'too much')


def _check_memory(tensor: Tensor) -> None:
    if tensor.layout != torch.strided or tensor.is_meta:
        return  # `state.compare` tells of these
    size = tensor.numel() * tensor.element_size()
    if size > max(tensor.untyped_storage().nbytes(), REPEATED_BYTES):
        raise _Refused(f'a tensor of {size:,} bytes that repeats a few numbers', 'too much')


def _reason(error: Exception, start: bytes) -> str:
    text = str(error.args[0] if isinstance(error, _Refused) else error).strip()
    if isinstance(error, _Refused) and error.args[1:] == ('too much',):
        return f'refused, because it holds {text}; save its weights again as plain tensors'
    if isinstance(error, _Refused) and error.args[1:] == ('archive',):
        return f'an archive, not a checkpoint: it holds {text}; unpack it and name the file in it'
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
    # torch's advice on what it cannot read is to switch its protection off; a LookupError of a
    # pickle is a bare number or tells of its stack
    silent = isinstance(error, UnpicklingError | LookupError) or 'weights_only' in text
    detail = '' if silent else text.partition('. ')[0][:160]
    words = start.decode('utf-8', 'ignore').split('\n')[0].strip()
    if len(words) > 3 and words.isprintable() and words.isascii():
        detail = f'it begins with {words!r}'
    detail = detail and f' ({detail})'
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
        (_empty_bytes, 'builtins.bytes'),  # an empty array's
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


def _empty_bytes(*arguments: Any) -> bytes:
    """Stand for `bytes`, which makes any amount of zeros of a number."""
    if arguments:
        raise _Refused('bytes that are made of a number')
    return b''


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
