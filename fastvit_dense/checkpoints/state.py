"""The weights in a checkpoint, and how they fit a network."""

from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError

# Where the weights stand in a file, in order of preference: averaged weights first. mmengine's
# EMAHook is the exception: it saves the averaged weights as `state_dict`.
WRAPPERS = ('state_dict_ema', 'model_ema', 'state_dict', 'model', 'module', 'ema_state_dict')


def find_state_dict(
    checkpoint: Any, path: str | Path, entries: Iterable[str] = (*WRAPPERS, '')
) -> tuple[str, dict[str, Tensor]]:
    """Find the weights in what a file holds.

    Args:
        checkpoint: What `load_checkpoint_file` returned.
        path: For messages.
        entries: Where to look, in this order; '' is the file as a whole.

    Returns:
        The entry that holds them, and the tensors by name.

    Raises:
        CheckpointError: No entry of the file is a dict of tensors.
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


def without_wrapper(state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors as a network does where a wrapper has put its own name before all of them.

    DataParallel puts `module.`, torch.compile `_orig_mod.`, Lightning `model.` there.

    Args:
        state: Tensors of a file.
        needed: `state_dict()` of the network.
    """
    first = next(iter(needed), '')
    prefixes = {name.removesuffix(first) for name in state if name.endswith(f'.{first}')}
    prefix = prefixes.pop() if len(prefixes) == 1 and first not in state else 'module.'
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def compare(state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> list[str]:
    """Tell in lines what keeps `state` from filling `needed`; an empty list: nothing does."""
    optional = {name for name in needed if name.endswith('num_batches_tracked')}
    missing = [name for name in needed if name not in state and name not in optional]
    unexpected = [name for name in state if name not in needed]
    shapes = [
        f'{name}: expected {tuple(needed[name].shape)}, found {tuple(state[name].shape)}'
        for name in needed
        if name in state and needed[name].shape != state[name].shape
    ]
    kinds_of = {
        name: fault
        for name in needed
        if name in state and (fault := kind_fault(state[name], needed[name].dtype))
    }
    # sums are taken of tensors that fit: others may be of any size
    broken = [
        name
        for name in needed
        if name in state
        and name not in kinds_of
        and needed[name].shape == state[name].shape
        and _is_broken(state[name], needed[name])
    ]
    kinds = {
        'missing': missing,
        'not in the network': unexpected,
        'of another shape': shapes,
        'of another kind': [f'{shortened(name)}: {fault}' for name, fault in kinds_of.items()],
        'with NaN or Inf': broken,
    }
    return [f'  {len(names)} {kind}: {_some(names)}' for kind, names in kinds.items() if names]


def non_finite(tensors: Mapping[str, Tensor], may_be_inf: Container[str] = ()) -> list[str]:
    """Names of the tensors that hold NaN, or Inf where none belongs.

    Args:
        tensors: By name. One look at all of them tells where nothing is wrong.
        may_be_inf: Names of those to which Inf belongs, such as masks that are added.
    """
    floats = {name: t for name, t in tensors.items() if t.is_floating_point() and t.numel()}
    if norms_are_finite([t for name, t in floats.items() if name not in may_be_inf]):
        floats = {name: t for name, t in floats.items() if name in may_be_inf}
    return [
        name
        for name, tensor in floats.items()
        if (tensor.isnan().any() if name in may_be_inf else not tensor.isfinite().all())
    ]


@torch.no_grad()
def norms_are_finite(tensors: list[Tensor]) -> bool:
    """Tell whether the 2-norms of tensors, on one device, are finite; a GPU is waited for once."""
    if not tensors:
        return True
    return bool(torch.stack(list(torch._foreach_norm(tensors))).isfinite().all())


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def kind_fault(tensor: Tensor, wanted: torch.dtype = torch.float32) -> str | None:
    """Say in words why a tensor does not hold numbers of a kind that a network computes with.

    Args:
        tensor: Of a file.
        wanted: The network's own: any floating-point type stands for all of `FLOATS`.
    """
    if tensor.is_meta:
        return 'expected numbers, found a tensor without any (device meta); save it from a CPU'
    if tensor.layout != torch.strided:
        return f'expected a dense tensor, found {tensor.layout}; save its to_dense()'
    if wanted.is_floating_point and tensor.dtype not in FLOATS:
        return f'expected {wanted}, found {tensor.dtype}; of quantised weights save the originals'
    if not wanted.is_floating_point and (tensor.is_floating_point() or tensor.is_complex()):
        return f'expected {wanted}, found {tensor.dtype}'
    return None


def _is_broken(tensor: Tensor, own: Tensor) -> bool:
    """Tell whether there is NaN in a tensor, or Inf where the network's own has none."""
    if tensor.sum().isfinite():  # one pass; an overflow only means a closer look
        return False
    if tensor.isnan().any():
        return True
    return bool(tensor.isinf().any() and own.isfinite().all())


def _some(names: list[str], limit: int = 4) -> str:
    more = f', ... ({len(names) - limit} more)' if len(names) > limit else ''
    return ', '.join(map(shortened, names[:limit])) + more


def shortened(name: str, limit: int = 200) -> str:
    """Return a name of a file for a message: printable, cut where it is long."""
    name = name if name.isprintable() else repr(name[:limit])
    return name if len(name) <= limit else f'{name[:limit]}...'
