"""The compared backbones: FastViT, and what people would use instead, from timm."""

import difflib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from benchmarks.machine import BenchmarkError
from benchmarks.metaformer import MIXERS, MetaFormer
from benchmarks.networks import Network, Schedule, compare_networks, setups_of
from fastvit_dense.backbones.fastvit import FastViT
from fastvit_dense.backbones.mobilevit import MobileViT
from fastvit_dense.backbones.mobilevit_variants import MOBILEVIT_VARIANTS
from fastvit_dense.backbones.reparam import reparameterize
from fastvit_dense.backbones.variants import VARIANTS

PEERS = (
    'resnet50',
    'poolformer_s12',
    'poolformer_s24',
    'convnext_tiny',
    'efficientnet_b4',
    'mobileone_s4',
    'swin_tiny_patch4_window7_224',
    'mobilenetv4_conv_medium',
    'repvit_m1_1',
)
LIGHT = (  # the newest light backbones of timm
    'iformer_m',
    'iformer_l',
    'repvit_m1_1',
    'repvit_m1_5',
    'mobilenetv4_conv_medium',
    'shvit_s4',
    'starnet_s4',
    'swiftformer_l1',
    'efficientvim_m4',
    'cpubone_b1_dwnorm',
    'lowformer_b1',
)
DEFAULT_BACKENDS = {'cpu': ('eager', 'openvino'), 'cuda': ('eager', 'cudagraph', 'compiled')}
GROUPS = {'ours': tuple(name for name in VARIANTS if name != 'hd'), 'peers': PEERS, 'light': LIGHT}

# Milliseconds of pooling and of RepMixer by image size, read off Figure 3 of the FastViT paper
# (MetaFormer-S12, iPhone 12 Pro), within 0.3 ms; the text says -25.1 % at 384, -43.9 % at 1024.
FIGURE_3 = {
    256: (1.7, 1.4),
    300: (2.6, 1.8),
    384: (3.6, 2.7),
    456: (6.0, 3.8),
    512: (6.0, 3.9),
    672: (12.6, 7.4),
    800: (20.0, 10.3),
    1024: (29.3, 16.5),
}


def benchmark_backbones(
    models: Sequence[str],
    schedule: Schedule,
    *,
    forms: Sequence[str] = ('train', 'folded'),
    backends: Sequence[str] | None = None,
    precisions: Sequence[str] = ('fp32',),
    layouts: Sequence[str] = ('contiguous',),
    reference: str | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time backbones that return the feature maps of all their stages, with random weights.

    Args:
        models: Variants of ours ('sa24'), model names of timm ('resnet50', 'fastvit_sa24'), or
            the groups 'ours', 'peers', 'light'.
        schedule: Sizes, batch sizes, device, and how long.
        forms: 'train' and 'folded'; a model without branches has one form, 'only'.
        backends: Of `backends.BACKENDS`; by default `DEFAULT_BACKENDS`.
        precisions: 'fp32', 'bf16'.
        layouts: Of PyTorch's tensors: 'contiguous', 'channels_last'.
        reference: See `compare_networks`.
        progress: Called with lines to show.

    Returns:
        See `compare_networks`.

    Raises:
        BenchmarkError: An unknown model, or a value out of its range.
    """
    names = [name for model in models for name in GROUPS.get(model, (model,))]
    networks = [
        network for name in dict.fromkeys(names) for network in networks_of(name, tuple(forms))
    ]
    setups = setups_of(backends or DEFAULT_BACKENDS[schedule.device], precisions, layouts)
    return compare_networks(networks, setups, schedule, reference, progress)


def networks_of(name: str, forms: tuple[str, ...] = ('train', 'folded')) -> list[Network]:
    """The forms of a model.

    Raises:
        BenchmarkError: Neither a variant of ours nor a model of timm.
    """
    if name in VARIANTS or name in MOBILEVIT_VARIANTS:
        return [Network(name, form, partial(build_ours, name, form)) for form in forms]
    try:
        import timm
    except ImportError:
        return [Network(name, 'only', partial(build_timm, name, 'only'))]
    if not timm.is_model(name):
        known = [*VARIANTS, *GROUPS, *timm.list_models()]
        close = difflib.get_close_matches(name, known, n=3)
        hint = f'; did you mean {" or ".join(close)}?' if close else ''
        raise BenchmarkError(f'unknown model {name!r}: no variant of ours, no model of timm{hint}')
    if not folds(name):
        forms = ('only',)
    return [Network(name, form, partial(build_timm, name, form)) for form in forms]


def build_ours(name: str, form: str, size: int = 0) -> nn.Module:
    """A variant of ours with the outputs of its stages of stride 4 and more, in eval mode.

    `size` is not needed.
    """
    model: nn.Module
    if name in VARIANTS:
        model = FastViT(name, out_indices=range(len(VARIANTS[name].layers))).eval()
    else:
        model = MobileViT(name).eval()
    return reparameterize(model) if form == 'folded' else model


def build_timm(name: str, form: str, size: int) -> nn.Module:
    """A model of timm that returns its feature maps, in eval mode.

    Raises:
        BenchmarkError: timm is not installed.
    """
    try:
        import timm
        from timm.utils import reparameterize_model
    except ImportError as error:
        raise BenchmarkError('timm is not installed: extra [dev]') from error
    fixed = timm.get_pretrained_cfg(name).fixed_input_size
    settings = {'img_size': (size, size)} if fixed else {}
    model = timm.create_model(name, features_only=True, **settings).eval()
    return reparameterize_model(model, inplace=True) if form == 'folded' else model


def folds(name: str) -> bool:
    """Tell whether timm folds branches of this model."""
    import timm
    import torch

    with torch.device('meta'):
        model = timm.create_model(name)
    methods = ('fuse', 'reparameterize', 'switch_to_deploy')
    return any(hasattr(m, method) for m in model.modules() for method in methods)


def benchmark_repmixer(
    schedule: Schedule,
    *,
    backends: Sequence[str] | None = None,
    precisions: Sequence[str] = ('fp32',),
    layouts: Sequence[str] = ('contiguous',),
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time RepMixer, folded, against pooling in the same MetaFormer-S12 (paper, Figure 3).

    Args:
        schedule: Sizes, batch sizes, device, and how long.
        backends: Of `backends.BACKENDS`; by default `DEFAULT_BACKENDS`.
        precisions: 'fp32', 'bf16'.
        layouts: Of PyTorch's tensors.
        progress: Called with lines to show.

    Returns:
        As `compare_networks`, and `reductions`: for each size, batch size and setup the share of
        pooling's time that RepMixer saves, the median over the rounds with its quartiles, and the
        paper's on a phone where Figure 3 has that size.
    """
    networks = [Network(f'{mixer} S12', 'folded', partial(_metaformer, mixer)) for mixer in MIXERS]
    setups = setups_of(backends or DEFAULT_BACKENDS[schedule.device], precisions, layouts)
    results = compare_networks(networks, setups, schedule, None, progress)
    rows = {(row['label'], row['size'], row['batch_size']): row for row in results['rows']}
    results['reductions'] = []
    for (label, size, batch_size), pooling in rows.items():
        if not label.startswith('pooling'):
            continue
        other = rows[label.replace('pooling', 'repmixer', 1), size, batch_size]
        results['reductions'].append(_reduction(pooling, other))
    return results


def _metaformer(mixer: str, size: int) -> nn.Module:
    return reparameterize(MetaFormer(mixer).eval())


def _reduction(pooling: dict[str, Any], repmixer: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    keys = ('backend', 'precision', 'layout', 'size', 'batch_size')
    reduction = {key: pooling[key] for key in keys}
    reduction['pooling_seconds'] = pooling['seconds']
    reduction['repmixer_seconds'] = repmixer['seconds']
    reduction['reason'] = pooling['reason'] or repmixer['reason']
    reduction['saved'] = reduction['quartiles'] = reduction['paper'] = None
    if not reduction['reason']:
        saved = 1 - np.divide(repmixer['rounds'], pooling['rounds'])
        low, middle, high = np.quantile(saved, (0.25, 0.5, 0.75)).tolist()
        reduction['saved'], reduction['quartiles'] = middle, [low, high]
    if pooling['size'] in FIGURE_3:
        before, after = FIGURE_3[pooling['size']]
        reduction['paper'] = 1 - after / before
    return reduction
