"""Checkpoints from one layout to another, and files that are fit to be published.

Converting a FastViT renames tensors and changes none of them, so a way there and back gives the
same file content. A MobileViT's are brought into our form, which is timm's: RGB, queries, keys and
values in one.
"""

from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError, CheckpointMismatch
from .download import resolve
from .files import file_sha256
from .layouts import STYLES, backbone_names, detect_layout, from_ours, refuse_bgr
from .mobilevit_dense import dense_tensors
from .mobilevit_layouts import (
    check_channel_order,
    detect_mobilevit,
    mobilevit_classifier,
    mobilevit_tensors,
)
from .reader import load_checkpoint_file
from .state import WRAPPERS, find_state_dict, kind_fault, non_finite, shortened

AVERAGED = ('state_dict_ema', 'model_ema')
# of a training run's `meta`: what a user of the weights needs
KEPT_META = ('dataset_meta', 'cfg', 'epoch', 'iter', 'experiment_name', 'mmengine_version')


def convert_file(
    source: str | Path,
    out: str | Path,
    to: str,
    publish: bool = False,
    ema: bool = False,
    channel_order: str | None = None,
) -> Path:
    """Write the weights of a checkpoint in another layout.

    What else a checkpoint holds, the state of the optimizer above all, is left out. Towards
    'fastvit_dense' a whole model of ours stays whole; otherwise the backbone and its classifier
    are written, and what stands beside them (a text encoder, a detector's heads) is left out. Of
    published dense models on MobileViT decoder and head are kept.

    Args:
        source: A file, address or published name.
        out: The file to write; `.safetensors` is possible.
        to: 'fastvit_dense', 'apple' or 'timm'; of a MobileViT not 'apple'.
        publish: Put the first eight digits of the file's SHA-256 into its name.
        ema: Write the averaged weights. mmengine's EMAHook saves them as the weights already.
        channel_order: 'RGB' or 'BGR', what a MobileViT's file was made for; None: what is known of
            its layout. What is written is for RGB.

    Returns:
        The file that was written.

    Raises:
        CheckpointError: The source cannot be read, has no averaged weights, or the layout is
            unknown.
        CheckpointMismatch: The source has no counterpart in the layout.
    """
    if to not in STYLES:
        raise CheckpointError(f'unknown layout {to!r}, known are {", ".join(STYLES)}')
    check_channel_order(channel_order)
    out = Path(out)
    if out.is_dir():
        raise CheckpointError(f'{out}: expected the name of a file to write, found a folder')
    out.parent.mkdir(parents=True, exist_ok=True)
    path = resolve(source)
    checkpoint = load_checkpoint_file(path)
    state = weights_of(checkpoint, path, ema)
    state = convert_state_dict(state, to, path, channel_order)
    meta = checkpoint.get('meta') if to == 'fastvit_dense' else None
    content: dict = {'state_dict': state} if to != 'timm' else state
    if isinstance(meta, dict):
        content['meta'] = {key: meta[key] for key in KEPT_META if key in meta}
    return write_weights(content, state, out, publish)


def convert_state_dict(
    state: dict[str, Tensor], to: str, path: str | Path, channel_order: str | None = None
) -> dict[str, Tensor]:
    """Rename the tensors of a FastViT, or bring those of a MobileViT into our form.

    Args:
        state: Of any layout.
        to: One of `layouts.STYLES`.
        path: For messages.
        channel_order: As of `convert_file`.

    Returns:
        A FastViT's tensors are the same, in the same order.

    Raises:
        CheckpointMismatch: Neither is in it, or it is in our folded form, which has no counterpart
            in the other layouts.
    """
    for name, tensor in state.items():
        fault = kind_fault(tensor, tensor.dtype if _is_counter(tensor) else torch.float32)
        if not name.isprintable():
            fault = 'expected a name of printable characters'
        if fault:
            raise CheckpointMismatch(f'{path}: {shortened(name)}: {fault}')
    try:
        layout = detect_layout(state)
        if layout is None:
            return _convert_mobilevit(state, to, channel_order)
        refuse_bgr(channel_order)
        if layout.style == to == 'fastvit_dense':
            return dict(state)
        keys = backbone_names(state, layout)
        if to != 'fastvit_dense' and any(name.endswith('.mlp.conv.conv.bias') for name in keys):
            raise ValueError(
                f'it is folded wholly, and layout {to} has norms and layer scales beside the '
                'folded branches: convert the weights as they were before reparameterize'
            )
        new = from_ours(keys, to)
    except ValueError as error:
        raise CheckpointMismatch(f'{path}: {error}') from error
    return {new[name]: state[key] for name, key in keys.items()}


def _convert_mobilevit(
    state: dict[str, Tensor], to: str, channel_order: str | None
) -> dict[str, Tensor]:
    """Bring a MobileViT's tensors into our form, with its classifier or, of ours, its heads.

    Raises:
        ValueError: None is in it, or the layout is not one of MobileViT's.
    """
    layout = detect_mobilevit(state)
    if layout is None:
        raise ValueError('no FastViT and no MobileViT in it')
    if to == 'apple':
        raise ValueError(
            "it is a MobileViT, which has no layout 'apple': expected --to timm, or ours"
        )
    whole = dense_tensors(state, channel_order)
    if whole is not None and to == 'fastvit_dense':
        return whole
    named = mobilevit_tensors(state, layout, channel_order)
    if layout.name == to == 'fastvit_dense':
        stem = 'stem.conv.weight'
        return state | {layout.prefix + stem: named.tensors[stem]}
    if to == 'timm' and 'stem.conv.bias' in named.tensors:
        raise ValueError(
            'it is folded, and layout timm has norms behind the convolutions: convert the weights '
            'as they were before reparameterize'
        )
    tensors = {n: t for n, t in named.tensors.items() if not n.startswith('out_norms.')}
    return tensors | mobilevit_classifier(state, layout)


def _is_counter(tensor: Tensor) -> bool:
    """Tell whether a tensor may hold counts or indices, as BatchNorm's number of batches."""
    return tensor.dtype in (torch.int64, torch.int32)


def weights_of(checkpoint: dict, path: Path, ema: bool) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, or with `ema` the averaged ones.

    Raises:
        CheckpointError: There are none, or there is NaN in them.
    """
    plain = [entry for entry in WRAPPERS if entry not in AVERAGED]
    entries = (*WRAPPERS, '') if ema else (*plain, '', *AVERAGED)
    entry, state = find_state_dict(checkpoint, path, entries)
    if ema and entry not in AVERAGED and 'ema_state_dict' not in checkpoint:
        raise CheckpointError(f'{path}: no averaged weights in it ({", ".join(AVERAGED)})')
    dense = {name: tensor for name, tensor in state.items() if kind_fault(tensor) is None}
    if broken := non_finite(dense, may_be_inf=dense):
        raise CheckpointError(
            f'{path}: expected numbers, found NaN in {len(broken)} of {len(state)} tensors, first '
            f'in {shortened(broken[0])}; take a checkpoint from before the training diverged'
        )
    return state


def write_weights(content: dict, state: dict[str, Tensor], out: Path, publish: bool) -> Path:
    """Write a file of weights.

    Args:
        content: All that it holds; of a `.safetensors` file only the tensors.
        state: The tensors in it.
        out: Its name.
        publish: Put the first eight digits of its SHA-256 into the name.

    Returns:
        The file that was written.
    """
    part = out.with_name(f'{out.name}.part')
    if out.suffix == '.safetensors':
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, part)
    else:
        with part.open('wb') as file:  # an open file: torch writes a path's name into the content
            torch.save(content, file)
    if publish:
        stem, dot, suffix = out.name.partition('.')
        out = out.with_name(f'{stem}-{file_sha256(part)[:8]}{dot}{suffix}')
    part.replace(out)
    return out
