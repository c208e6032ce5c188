"""Pretrained weights for a backbone: all that it needs is loaded, or an error says why not."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from ..backbones.base import StagedBackbone
from ..backbones.fastvit import FastViT
from ..backbones.mobilevit import MobileViT
from ..backbones.reparam import batch_norm_affine, fold_affine_after, fold_affine_before
from ..backbones.variants import VARIANTS, Variant
from ..errors import CheckpointError, CheckpointMismatch, ConfigError
from .ablations import explain_switches
from .download import resolve
from .layouts import (
    Layout,
    backbone_names,
    detect_layout,
    is_classifier,
    is_foreign_output_norm,
    refuse_bgr,
)
from .mobilevit_layouts import (
    NamedTensors,
    check_channel_order,
    detect_mobilevit,
    identify_mobilevit,
    mobilevit_tensors,
)
from .reader import load_checkpoint_file
from .state import compare, find_state_dict, kind_fault, shortened

__all__ = ['CheckpointMismatch', 'LoadReport', 'load_pretrained']

_FOLDED_STEM = 'stem.0.reparam_conv.weight'


@dataclass(frozen=True)
class LoadReport:
    """The findings of `load_pretrained`; `str` gives a table by stage.

    Attributes:
        file: The local file.
        entry: The entry of the file that held the weights, '' for a bare state dict.
        layout: 'apple', 'timm', 'mobileclip', 'openclip', 'fastvlm' or 'fastvit_dense'; of a
            MobileViT 'timm', 'huggingface', 'cvnets' or 'fastvit_dense'.
        variant: The variant the file looks like, as in 'sa24', or None.
        fused: Whether the file holds folded branches.
        loaded: Tensors of the network that were set.
        missing: Tensors of the network that the file lacks; output norms (and BatchNorm counters,
            which compute nothing) at most.
        unexpected: Tensors of the file that a backbone should not have; always empty, as they
            raise.
        ignored: Tensors of the file that are not the backbone's: the classifier, other parts of a
            larger model, stages behind the last output; as the file names them.
        channel_order: What the file was made for; one for 'BGR' was turned round to RGB.
    """

    file: str
    entry: str
    layout: str
    variant: str | None
    fused: bool
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    ignored: tuple[str, ...]
    channel_order: str = 'RGB'

    def __str__(self) -> str:
        form = 'folded' if self.fused else 'unfolded'
        where = f', entry {self.entry!r}' if self.entry else ''
        loaded, missing = (Counter(map(_part, names)) for names in (self.loaded, self.missing))
        turned = ', for BGR, turned round to RGB' if self.channel_order == 'BGR' else ''
        lines = [f'{self.file} ({self.variant}, layout {self.layout}, {form}{where}{turned})']
        for part in dict.fromkeys(map(_part, (*self.loaded, *self.missing))):
            lines.append(
                f'  {part:12} {loaded[part]:4} of {loaded[part] + missing[part]:4} tensors'
            )
        if self.ignored:
            parts = Counter(name.split('.')[0] for name in self.ignored)
            named = ', '.join(f'{part} ({count})' for part, count in parts.most_common(6))
            lines.append(f"  not the backbone's: {len(self.ignored)} tensors: {named}")
        return '\n'.join(lines)


@WEIGHT_INITIALIZERS.register_module()
class PretrainedFastViT:
    """mmengine's initializer `Pretrained` for our backbones: all of the file, or an error.

    Args:
        checkpoint: As of `load_pretrained`.
        channel_order: As of `load_pretrained`.

    Raises:
        ConfigError: No checkpoint is named.
    """

    def __init__(self, checkpoint: str | Path = '', channel_order: str | None = None) -> None:
        if not checkpoint:
            raise ConfigError("init_cfg: type 'Pretrained' needs a 'checkpoint', found none")
        self.checkpoint = checkpoint
        self.channel_order = channel_order

    def __call__(self, module: nn.Module) -> None:
        report = load_pretrained(module, self.checkpoint, self.channel_order)
        print_log(str(report), logger='current')


def load_pretrained(
    backbone: nn.Module, checkpoint: str | Path, channel_order: str | None = None
) -> LoadReport:
    """Load published weights, or our own, into a backbone.

    Every layout of the published files is recognised from its tensor names: Apple's FastViT, timm
    (also `features_only`), MobileCLIP, OpenCLIP, FastVLM, and ours, alone or inside a detector's
    checkpoint; of MobileViT timm, Hugging Face and CVNets, alone or inside their dense models. A
    MobileViT takes RGB of 0-1; the first convolution of a file for BGR is turned round. Where a
    file holds averaged weights (EMA), those are taken.

    Args:
        backbone: A `FastViT` or `MobileViT`. A file with folded branches needs a folded backbone
            (built with `reparameterized=True` or after `reparameterize`), another file an unfolded.
        checkpoint: A file, an http(s) address, or the name of a published file such as
            `'apple/fastvit_sa24'`, `'apple_dist/fastvit_sa24'` (distilled) or, as timm has them,
            `'timm/fastvit_sa24.apple_in1k'`.
        channel_order: 'RGB' or 'BGR', what a MobileViT's file was made for; None: what is known of
            its layout (`mobilevit_layouts`). The network takes RGB, whatever the file's order.

    Returns:
        What was loaded and what was left aside.

    Raises:
        CheckpointMismatch: The file cannot be read, or does not hold exactly what the backbone
            needs, its output norms aside; the backbone is unchanged.
        CheckpointError: The file cannot be downloaded, no published file has that name, or
            `channel_order` is another word.
    """
    check_channel_order(channel_order)
    family = next((f for f in _FAMILIES if isinstance(backbone, f.backbone)), None)
    if family is None or not isinstance(backbone, StagedBackbone):
        known = ' or '.join(f.backbone.__name__ for f in _FAMILIES)
        raise TypeError(f'expected a {known} backbone, got {type(backbone).__name__}')
    needed = backbone.state_dict()
    path = resolve(checkpoint)
    try:
        entry, state = find_state_dict(load_checkpoint_file(path), path)
    except CheckpointError as error:
        raise CheckpointMismatch(str(error)) from error
    try:
        layout = family.detect(state)
        if layout is None:
            raise ValueError(
                f'no {family.backbone.__name__} in it; its tensors are {_first_names(state)}'
            )
        named = family.read(state, layout, channel_order)
    except ValueError as error:
        raise CheckpointMismatch(f'{path}: {error}') from error

    variant = family.identify(named.tensors)
    fused = family.folded_first in named.tensors
    _check_form(path, type(backbone).__name__, fused, family.folded_first in needed)
    kept = {n: t for n, t in named.tensors.items() if not _is_ignored(n, backbone, needed)}
    ignored = state.keys() - {key for name in kept for key in named.keys[name]}
    if fused:
        _check_kinds(path, kept)
        kept = family.fold_rest(kept)

    wanted = {n: t for n, t in needed.items() if n in kept or not n.startswith('out_norms.')}
    problems = compare(kept, wanted)
    if problems:
        looks = (
            f'it looks like {variant or "no variant known here"}, the network is {backbone.arch}'
        )
        why = explain_switches(named.tensors, needed)
        raise CheckpointMismatch('\n'.join([f'{path} does not fit: {looks}', *problems, *why]))
    with torch.no_grad():
        for name in wanted.keys() & kept.keys():
            needed[name].copy_(kept[name])
    return LoadReport(
        file=str(path),
        entry=entry,
        layout=layout.name,
        variant=variant,
        fused=fused,
        loaded=tuple(name for name in needed if name in kept),
        missing=tuple(name for name in needed if name not in kept),
        unexpected=(),
        ignored=tuple(key for key in state if key in ignored),
        channel_order=named.channel_order,
    )


def _check_kinds(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """See before arithmetic that all tensors but counters hold floating-point numbers."""
    for name, tensor in tensors.items():
        fault = None if name.endswith('num_batches_tracked') else kind_fault(tensor)
        if fault:
            raise CheckpointMismatch(f'{path} does not fit: {shortened(name)}: {fault}')


def _check_form(path: Path, kind: str, fused_file: bool, folded_network: bool) -> None:
    if fused_file and not folded_network:
        raise CheckpointMismatch(
            f'{path} holds folded branches, which cannot be taken apart again: load it into '
            f'{kind}(..., reparameterized=True), or take the file that is not folded (at Apple the '
            'one without _reparam), the only kind to train from'
        )
    if folded_network and not fused_file:
        raise CheckpointMismatch(
            f'{path} holds unfolded branches, and the network is folded already: first load it '
            'into the unfolded network, then reparameterize'
        )


def _is_ignored(name: str, backbone: StagedBackbone, needed: Mapping[str, Tensor]) -> bool:
    """Tell whether a backbone can do without a tensor of a file (our name)."""
    if is_classifier(name) or is_foreign_output_norm(name):
        return True
    if name.startswith('out_norms.'):
        return name not in needed
    stage = name.split('.')[1] if name.startswith('stages.') else ''
    return stage.isdigit() and len(backbone.stages) <= int(stage) < backbone.num_stages


def fold_rest(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold the norms and layer scales that a published folded file still has.

    Apple, timm and FastVLM fold branches only. Our folded form also has the ConvFFN's BatchNorm in
    its depthwise convolution, the BatchNorm before attention in `qkv`, and the layer scales in
    the layers before them. LayerNorm stays.

    Args:
        tensors: By our names; nothing is changed.

    Returns:
        The tensors of the folded form; what was folded is float64. A tensor that has no partner
        is kept, to be reported.
    """
    folded = dict(tensors)
    for name in tensors:
        block, _, leaf = name.rpartition('.')
        if name.endswith('.mlp.conv.bn.running_mean'):
            conv = block.removesuffix('.bn') + '.conv'
            _fold_norm(folded, block, conv, fold_affine_after)
        elif leaf == 'running_mean' and block.endswith('.norm') and 'token_mixer' not in block:
            qkv = block.removesuffix('.norm') + '.token_mixer.qkv'
            _fold_norm(folded, block, qkv, fold_affine_before)
    for name in tensors:
        block, _, leaf = name.rpartition('.')
        if leaf in ('layer_scale', 'layer_scale_1', 'layer_scale_2'):
            layer = 'token_mixer.proj' if leaf == 'layer_scale_1' else 'mlp.fc2'
            _fold_layer_scale(folded, name, f'{block}.{layer}')
    return folded


def _fold_norm(tensors: dict[str, Tensor], norm: str, layer: str, fold: Callable) -> None:
    """Fold BatchNorm `norm` into `layer` when both are whole."""
    parts = [f'{norm}.{leaf}' for leaf in ('running_mean', 'running_var', 'weight', 'bias')]
    weight = f'{layer}.weight'
    if not all(name in tensors for name in (*parts, weight)):
        return
    mean, variance, scale, shift = (tensors[name] for name in parts)
    affine = batch_norm_affine(mean, variance, scale, shift)
    bias = f'{layer}.bias'
    tensors[weight], tensors[bias] = fold(tensors[weight], tensors.get(bias), *affine)
    for name in (*parts, f'{norm}.num_batches_tracked'):
        tensors.pop(name, None)


def _fold_layer_scale(tensors: dict[str, Tensor], scale: str, layer: str) -> None:
    """Fold a layer scale into the layer before it when that is there."""
    weight, bias = f'{layer}.weight', f'{layer}.bias'
    if weight in tensors and bias in tensors:
        scaled = fold_affine_after(tensors[weight], tensors[bias], tensors.pop(scale))
        tensors[weight], tensors[bias] = scaled


# --- what a file looks like ------------------------------------------------------------------


def identify(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the variants, as in 'sa24' or 'sa12 or s12', whose tensors (our names) these are.

    A file that ends before the last stage may belong to several.
    """
    layers: Counter[int] = Counter()
    for name in tensors:
        parts = name.split('.')
        if name.startswith('stages.') and name.endswith('.mlp.fc1.weight'):
            layers[int(parts[1])] += 1
    found = [
        arch
        for arch, variant in VARIANTS.items()
        if layers and arch != 'hd' and _looks_like(tensors, layers, variant)
    ]
    return ' or '.join(found) or None


def _looks_like(tensors: Mapping[str, Tensor], layers: Counter, variant: Variant) -> bool:
    stages = range(len(layers))
    if tuple(layers[i] for i in stages) != variant.layers[: len(layers)]:
        return False
    hidden = [tensors[f'stages.{i}.blocks.0.mlp.fc1.weight'].shape[:2] for i in stages]
    mixers = ''.join(
        'A' if f'stages.{i}.blocks.0.token_mixer.qkv.weight' in tensors else 'R' for i in stages
    )
    dims = variant.embed_dims[: len(layers)]
    return (
        hidden == [(dim * variant.mlp_ratio, dim) for dim in dims]
        and mixers == (variant.mixers[: len(layers)])
    )


def explain_model(state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> list[str]:
    """Tell in lines why a checkpoint's backbone is not that of a whole model.

    Args:
        state: Tensors of the file.
        needed: `state_dict()` of the model.
    """
    try:
        family = next((family for family in _FAMILIES if family.detect(needed)), None)
        if family is None:
            return []
        layout, own = family.detect(state), family.detect(needed)
        if layout is None or own is None:
            return []
        of_file = family.read(state, layout, None).tensors
        of_model = family.read(needed, own, None).tensors
    except ValueError:  # several backbones
        return []
    lines = []
    if layout.prefix != own.prefix or layout.style != own.style:
        lines.append(
            f'  The file is a backbone in layout {layout.name}, not this model: name it in '
            "init_cfg=dict(type='Pretrained', checkpoint=...) of the backbone."
        )
    variants = family.identify(of_file), family.identify(of_model)
    if variants[0] != variants[1]:
        lines.append(f'  The file looks like {variants[0]}, the model is {variants[1]}.')
    lines += explain_switches(of_file, of_model)
    folded = family.folded_first in of_file, family.folded_first in of_model
    if folded == (True, False):
        lines.append(
            '  The file is folded: reparameterize the model before loading, or build its backbone '
            'with reparameterized=True.'
        )
    if folded == (False, True):
        lines.append('  The model is folded already: first load, then reparameterize.')
    return lines


def _part(name: str) -> str:
    parts = name.split('.')
    return {'stages': f'stage {parts[1]}', 'out_norms': 'output norms'}.get(parts[0], parts[0])


def _first_names(state: Mapping[str, Tensor]) -> str:
    return ', '.join(map(shortened, list(state)[:3])) + (', ...' if len(state) > 3 else '')


# --- the families of backbones ---------------------------------------------------------------


@dataclass(frozen=True)
class _Family:
    """The knowledge of one kind of backbone's files.

    Attributes:
        backbone: Its class.
        folded_first: A tensor that only the folded form has.
        detect: Finds the layout in the names of a file.
        read: Gives the tensors by our names, of a file for the given order of channels.
        identify: Names the variant that tensors by our names look like.
        fold_rest: Folds what a published folded file has not.
    """

    backbone: type[StagedBackbone]
    folded_first: str
    detect: Callable[[Iterable[str]], Layout | None]
    read: Callable[[Mapping[str, Tensor], Layout, str | None], NamedTensors]
    identify: Callable[[Mapping[str, Tensor]], str | None]
    fold_rest: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def _fastvit_tensors(
    state: Mapping[str, Tensor], layout: Layout, channel_order: str | None
) -> NamedTensors:
    refuse_bgr(channel_order)
    keys = backbone_names(state, layout)
    tensors = {name: state[key] for name, key in keys.items()}
    return NamedTensors(tensors, {name: (key,) for name, key in keys.items()})


_FAMILIES = (
    _Family(FastViT, _FOLDED_STEM, detect_layout, _fastvit_tensors, identify, fold_rest),
    _Family(
        MobileViT,
        'stem.conv.bias',
        detect_mobilevit,
        mobilevit_tensors,
        identify_mobilevit,
        dict,
    ),
)
