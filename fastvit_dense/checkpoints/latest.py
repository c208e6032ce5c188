"""The checkpoint of a folder that training goes on from."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .reader import load_checkpoint_file
from .state import find_state_dict, non_finite

WRITTEN = 'unix_time'  # in meta: seconds since 1970 when a checkpoint was written


def newest_whole(
    paths: Iterable[Path], model: nn.Module | None = None
) -> tuple[Path | None, dict[Path, str]]:
    """Find the checkpoint that was written last, of those that can be read and are finite.

    What a file says counts, not its name nor its time stamp: that of a copy says nothing.

    Args:
        paths: Checkpoints of training.
        model: Tells where Inf belongs to the weights; None: nowhere.

    Returns:
        The file, None where there is none, and why newer files were left out, by file.
    """
    skipped: dict[Path, str] = {}
    places = {}
    for path in paths:
        try:
            places[path] = _place_in_time(load_checkpoint_file(path, lazy=True))
        except CheckpointError as error:
            skipped[path] = _reason(error, path)
    for path in sorted(places, key=lambda path: places[path], reverse=True):
        try:
            reason = _damage(load_checkpoint_file(path), path, model)
        except CheckpointError as error:
            reason = _reason(error, path)
        if not reason:
            return path, skipped
        skipped[path] = reason
    return None, skipped


def _place_in_time(checkpoint: Any) -> tuple[float, int]:
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    if not isinstance(meta, Mapping) or not isinstance(meta.get('iter'), int):
        raise CheckpointError('holds weights, but not where training stood (meta.iter)')
    if 'optimizer' not in checkpoint:
        raise CheckpointError('holds weights, but no state of the optimizer')
    written = meta.get(WRITTEN)
    return float(written) if isinstance(written, int | float) else 0.0, meta['iter']


def _damage(checkpoint: dict, path: Path, model: nn.Module | None) -> str:
    """Tell what is not finite in a checkpoint; '' for nothing."""
    may_be_inf = non_finite(dict(model.named_buffers())) if model else []
    for entry in ('state_dict', 'ema_state_dict'):
        if entry in checkpoint:
            state = find_state_dict(checkpoint, path, [entry])[1]
            state = {name.removeprefix('module.'): tensor for name, tensor in state.items()}
            names = non_finite(state, may_be_inf)
            if names:
                return f'{len(names)} of its tensors hold NaN or Inf: {names[0]}'
    moments = _moments(checkpoint['optimizer'])
    names = non_finite(moments, moments)
    return f"the optimizer's state of {len(names)} tensors holds NaN" if names else ''


def _moments(optimizer: Any) -> dict[str, Tensor]:
    """Tensors of the state of one optimizer by parameter and name."""
    states = optimizer.get('state', {}) if isinstance(optimizer, Mapping) else {}
    return {
        f'{number}.{name}': value
        for number, state in states.items()
        for name, value in state.items()
        if torch.is_tensor(value)
    }


def _reason(error: CheckpointError, path: Path) -> str:
    return str(error).removeprefix(f'{path}: ')
