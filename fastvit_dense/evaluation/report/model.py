"""The model, as reports tell of it."""

import copy
from pathlib import Path
from typing import Any

from ...checkpoints.download import resolve
from ...checkpoints.files import file_sha256


def model_info(
    model: Any, cfg: Any, checkpoint: str | Path | None, macs_size: tuple[int, int]
) -> dict[str, Any] | None:
    """Facts for reports on the model; None without a checkpoint.

    Args:
        model: The `torch.nn.Module` that was scored.
        cfg: Its config.
        checkpoint: The file that its weights came from, or its published name.
        macs_size: Height and width on which multiply-accumulates are counted.

    Returns:
        `config` (its path from `configs` on, or its name), `checkpoint_sha256`,
        `parameters` (a count), `macs` (None where they cannot be counted) and `macs_of`:
        what was counted, at which input size.
    """
    if checkpoint is None:
        return None
    macs, macs_of = _count_macs(getattr(model, 'module', model), macs_size)
    return {
        'config': _public_path(getattr(cfg, 'filename', None)),
        'checkpoint_sha256': file_sha256(resolve(checkpoint)),
        'parameters': sum(parameter.numel() for parameter in model.parameters()),
        'macs': macs,
        'macs_of': macs_of,
    }


def _count_macs(model: Any, size: tuple[int, int]) -> tuple[int | None, str]:
    """Multiply-accumulates of one image, counted on a copy without data or arithmetic.

    A detector's heads depend on what it finds in the image, so they are left out.
    """
    import torch
    from mmengine.logging import print_log

    from ...backbones.macs import count_macs

    is_detector = hasattr(model, 'bbox_head') or hasattr(model, 'roi_head')
    height, width = size
    macs_of = f'{"backbone and neck" if is_detector else "whole model"}, {height}x{width}'
    try:
        on_meta = copy.deepcopy(model).to('meta').eval()
        run = on_meta.extract_feat if is_detector else on_meta
        return count_macs(run, torch.empty(1, 3, height, width, device='meta')), macs_of
    except Exception as error:  # a model of someone else may need real numbers to run
        print_log(f'MACs were not counted: {error}', 'current')
        return None, macs_of


def _public_path(path: Any) -> str | None:
    """A config's path from `configs` on, or its name: nothing that stands before names a user."""
    if path is None:
        return None
    parts = Path(path).parts
    if 'configs' not in parts:
        return parts[-1]
    start = len(parts) - 1 - parts[::-1].index('configs')
    return Path(*parts[start:]).as_posix()
