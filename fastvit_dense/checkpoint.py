"""Reading of checkpoints: one way in, which never runs code that a file brings along.

`torch.load(weights_only=True)` builds nothing but tensors, containers and the few types listed in
`_safe_types`. There is no fallback. `install` puts every read of mmengine through it.
"""

import ast
import functools
import io
import logging
import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, print_log
from torch import Tensor, nn

# Where the weights stand in a file, in order of preference: averaged weights first. mmengine's
# EMAHook is the exception: it saves the averaged weights as `state_dict`.
WRAPPERS = ('state_dict_ema', 'model_ema', 'state_dict', 'model', 'module', 'ema_state_dict')


class CheckpointError(ValueError):
    """A file that cannot be had or read; the message names it, what is wrong and what to do."""


class _Refused(Exception):
    """Something that is not safe to build; raised inside the unpickler."""


class CheckpointMismatch(CheckpointError):
    """A checkpoint that does not fit the network; the network is unchanged."""


def load_checkpoint_file(path: str | Path, map_location: Any = 'cpu') -> Any:
    """Read a file that `torch.save` wrote, or a ``.safetensors`` file, without running its code.

    Args:
        path: a local file.
        map_location: as for `torch.load`; ``.safetensors`` files are always read to the CPU.

    Returns:
        What was saved: usually a dict.

    Raises:
        CheckpointError: there is no such file, or it is empty, damaged, not a checkpoint, or holds
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
        return _read_pickle(file, path, map_location)


def find_state_dict(
    checkpoint: Any, path: str | Path, entries: Iterable[str] = (*WRAPPERS, '')
) -> tuple[str, dict[str, Tensor]]:
    """Find the weights in what a file holds.

    Args:
        checkpoint: what `load_checkpoint_file` returned.
        path: for messages.
        entries: where to look, in this order; '' is the file as a whole.

    Returns:
        The entry that holds them, and the tensors by name.

    Raises:
        CheckpointError: no entry of the file is a dict of tensors.
    """
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(
            f'{path}: expected a dict of tensors by name, found {type(checkpoint).__name__}'
        )
    for entry in entries:
        state = checkpoint.get(entry) if entry else checkpoint
        if not isinstance(state, Mapping):
            continue
        tensors = {k: v for k, v in state.items() if isinstance(k, str) and torch.is_tensor(v)}
        if tensors:
            return entry, tensors
    found = ', '.join(map(repr, list(checkpoint)[:8])) or 'nothing'
    raise CheckpointError(
        f'{path}: no weights in it; expected tensors by name, bare or as one of '
        f'{", ".join(WRAPPERS)}, found {found}'
    )


def load_model_state(model: nn.Module, path: str | Path) -> dict:
    """Load the weights of a whole model, every tensor of it or none.

    Args:
        model: for example a detector; its weights are replaced.
        path: a file or address: what a training run or `tools/convert_weights.py` wrote.

    Returns:
        The checkpoint's ``meta`` (classes, config, epoch), empty where it has none.

    Raises:
        CheckpointError: the file cannot be read.
        CheckpointMismatch: a tensor is missing, left over, of another shape or holds NaN.
    """
    from .backbones.download import resolve

    path = resolve(path)
    checkpoint = load_checkpoint_file(path)
    state = find_state_dict(checkpoint, path)[1]
    state = {name.removeprefix('module.'): tensor for name, tensor in state.items()}
    needed = model.state_dict()
    problems = compare(state, needed)
    if problems:
        from .backbones.pretrained import explain_model

        hint = explain_model(state, needed)
        raise CheckpointMismatch('\n'.join([f'{path} does not fit the model', *problems, *hint]))
    model.load_state_dict(state, strict=False)  # all is there but num_batches_tracked, perhaps
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, dict) else {}


def compare(state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> list[str]:
    """Tell in lines what keeps ``state`` from filling ``needed``; an empty list: nothing does."""
    optional = {name for name in needed if name.endswith('num_batches_tracked')}
    missing = [name for name in needed if name not in state and name not in optional]
    unexpected = [name for name in state if name not in needed]
    shapes = [
        f'{name}: expected {tuple(needed[name].shape)}, found {tuple(state[name].shape)}'
        for name in needed
        if name in state and needed[name].shape != state[name].shape
    ]
    broken = [name for name in needed if name in state and _is_broken(state[name], needed[name])]
    kinds = {
        'missing': missing,
        'not in the network': unexpected,
        'of another shape': shapes,
        'with NaN or Inf': broken,
    }
    return [f'  {len(names)} {kind}: {_some(names)}' for kind, names in kinds.items() if names]


def _is_broken(tensor: Tensor, own: Tensor) -> bool:
    """Whether there is NaN in a tensor, or Inf where the network's own has none."""
    if tensor.sum().isfinite():  # one pass; an overflow only means a closer look
        return False
    if tensor.isnan().any():
        return True
    return bool(tensor.isinf().any() and own.isfinite().all())


def _some(names: list[str], limit: int = 4) -> str:
    more = f', ... ({len(names) - limit} more)' if len(names) > limit else ''
    return ', '.join(names[:limit]) + more


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise CheckpointError(f'{path}: install safetensors to read this file') from None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f'{path}: damaged or not a .safetensors file ({error})') from error


def _read_pickle(file: BinaryIO, name: str | Path, map_location: Any) -> Any:
    start = file.read(64).lstrip().lower()
    file.seek(0)
    if start.startswith((b'<!doctype', b'<html', b'<?xml')):
        raise CheckpointError(f'{name}: a web page, not a checkpoint; download the file itself')
    if start.startswith(b'version https://git-lfs'):
        raise CheckpointError(f'{name}: a Git LFS pointer; run `git lfs pull` to get the file')
    try:
        with torch.serialization.safe_globals(_safe_types()):
            return torch.load(file, map_location=map_location, weights_only=True)
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


# --- types that a checkpoint may hold --------------------------------------------------------


@functools.cache
def _safe_types() -> list[tuple[Any, str]]:
    """Return (what to use, the name that files give it) for all types beyond torch's own.

    The unpickler calls what a name stands for with arguments from the file, and lets the file set
    the state of instances of the listed types. `numpy.ndarray` and `builtins.getattr`, which
    mmengine's files name, would hand over memory and modules, so both stand for harmless
    functions here, and the array and dtype types are listed for their state alone, below a name
    that no file can spell (names end with the line).
    """
    numeric = [type(np.dtype(code)) for code in '?bhilqBHILQefdFD']
    state_only = [(kind, f'{kind.__name__}\n') for kind in {np.ndarray, *numeric}]
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
    return np.frombuffer(data, dtype, count=1)[0]


def _no_method(*_: Any) -> None:
    """Stand for `getattr`, with which a HistoryBuffer names methods that it has anyway."""


class _History(HistoryBuffer):
    """Takes the place of a HistoryBuffer while its state is set, and becomes one."""

    def __setstate__(self, state: dict) -> None:
        arrays = state['_log_history'], state['_count_history']
        if not all(type(array) is np.ndarray for array in arrays):
            raise _Refused('a HistoryBuffer without arrays')
        self.__class__ = HistoryBuffer
        self.__init__(*arrays, max_length=int(state['max_length']))


# --- mmengine --------------------------------------------------------------------------------


def install() -> None:
    """Make every checkpoint read of mmengine a `load_checkpoint_file`; idempotent.

    That concerns `load_checkpoint`, `Runner.load_checkpoint`, `Runner.resume`, `load_from`,
    ``init_cfg=dict(type='Pretrained')`` and inferencers, for files, URLs, ``torchvision://``,
    ``open-mmlab://``, ``mmcls://`` and ``s3://``. ``pavi://``, a service inside OpenMMLab, is
    refused.
    """
    from mmengine.runner import checkpoint

    register = checkpoint.CheckpointLoader.register_scheme
    register('', load_from_local, force=True)
    register(('http://', 'https://'), load_from_http, force=True)
    register(('open-mmlab://', 'openmmlab://'), load_from_openmmlab, force=True)
    register((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_ceph, force=True)
    register('pavi://', load_from_pavi, force=True)
    # torchvision:// and mmcls:// look this name up in their module
    checkpoint.load_from_http = load_from_http


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a local file for mmengine."""
    return _without_code(load_checkpoint_file(filename, map_location))


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Read a URL for mmengine.

    A file that torch.hub or mmengine fetched before is used when its name carries its hash: they
    keep files of all addresses by their last name in one folder.
    """
    from .backbones.download import HASH_IN_NAME, fetch

    name = filename.rsplit('/', 1)[-1]
    fetched = Path(torch.hub.get_dir(), 'checkpoints', name)
    use_it = HASH_IN_NAME.search(name) and fetched.is_file()
    return load_from_local(fetched if use_it else fetch(filename), map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> Any:
    """Read a model of mmengine's list for mmengine."""
    from mmengine.runner import checkpoint

    name = filename.split('://', 1)[1]
    name = checkpoint.get_deprecated_model_names().get(name, name)
    place = checkpoint.get_external_models()[name]
    if place.startswith(('http://', 'https://')):
        return load_from_http(place, map_location)
    return load_from_local(Path(checkpoint._get_mmengine_home(), place), map_location)


def load_from_ceph(filename: str, map_location: Any = None) -> Any:
    """Read an object of a petrel or S3 store for mmengine."""
    from mmengine.fileio import get_file_backend

    backend = get_file_backend(filename, backend_args={'backend': 'petrel'})
    file = io.BytesIO(backend.get(filename))
    return _without_code(_read_pickle(file, filename, map_location))


def load_from_pavi(filename: str, map_location: Any = None) -> Any:
    """Refuse a pavi:// address."""
    raise CheckpointError(f'{filename}: pavi:// is not supported; download the file and name it')


def _without_code(checkpoint: Any) -> Any:
    """Take configs out of ``meta`` that are more than data: mmengine runs them as Python."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    for key in ('cfg', 'config'):
        if isinstance(meta, dict) and key in meta and not _is_plain_config(meta[key]):
            del meta[key]
            print_log(
                f'the config in the checkpoint (meta.{key}) holds code and was left out',
                'current',
                logging.WARNING,
            )
    return checkpoint


def _is_plain_config(text: Any) -> bool:
    """Whether a config text only assigns literals, as `Config.pretty_text` writes it."""
    if not isinstance(text, str):
        return True  # only a text would be run
    if '{{' in text:  # mmengine would replace it, also inside strings
        return False
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(
        isinstance(statement, ast.Assign)
        and all(isinstance(t, ast.Name) and t.id != '_base_' for t in statement.targets)
        and all(isinstance(node, _PLAIN) or _is_dict_call(node) for node in _nodes(statement.value))
        for statement in statements
    )


_PLAIN = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.keyword)


def _is_dict_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict'


def _nodes(value: ast.expr) -> list[ast.AST]:
    """Return all nodes but operators, contexts and the names of `dict` calls."""
    skip = {id(node.func) for node in ast.walk(value) if _is_dict_call(node)}
    marks = (ast.expr_context, ast.unaryop)
    return [n for n in ast.walk(value) if id(n) not in skip and not isinstance(n, marks)]
