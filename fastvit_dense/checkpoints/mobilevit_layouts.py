"""The published files' names of MobileViT's tensors, and the way from each of them to ours.

| style | as in |
|---|---|
| `timm` | timm, also `features_only`; ours are the same |
| `huggingface` | transformers' `MobileViTModel` and `MobileViTV2Model`, and what holds them |
| `cvnets` | apple/ml-cvnets, where both come from |

Our networks take RGB of 0-1, without a mean, and a file for BGR is turned round on loading: the
input channels of its first convolution. The order that a file was trained with:

- timm: RGB. "If I've adapted any weights that were BGR I flip them around save the weights in RGB"
  (its author, huggingface/pytorch-image-models discussion 439).
- CVNets' first version, and transformers' copies of it: BGR. CVNets 0.1 reads by `cv2.imread`
  (`dataset_base.py`); 0.2 keeps a dataset `imagenet_opencv` for it (`imagenet/mobilevit.yaml`:
  "MobileViT is trained using OpenCV while the current CVNets version uses PIL"). Its DeepLabv3
  that CVNets 0.2 trained is for RGB.
- The second version: RGB. It came with CVNets 0.2, and `imagenet/mobilevit_v2.yaml` names the
  dataset `imagenet`, which reads by Pillow, `convert("RGB")`. transformers' converter copies the
  tensors as they are. Its documentation says BGR, and `do_flip_channel_order` of its image
  processor is true: both are the first version's, taken over.

A file that none of this fits, trained anew by somebody: `channel_order`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..backbones.mobilevit_variants import MOBILEVIT_VARIANTS
from ..errors import CheckpointError
from .layouts import Layout
from .state import kind_fault

CHANNEL_ORDERS = ('RGB', 'BGR')
_BGR = ('huggingface', 'cvnets')  # styles of the first version's files for BGR
_OF_CVNETS_2 = 'seg_head.classifier.block.conv.weight'  # its DeepLabv3 has it; that of 0.1 has not
_FIRST_CONV = {  # style -> name of the first convolution's weight
    'timm': 'stem.conv.weight',
    'huggingface': 'conv_stem.convolution.weight',
    'cvnets': 'conv_1.block.conv.weight',
}
_FIRST_BLOCK = {  # style -> part of the name of a tensor that tells MobileViT from other networks
    'timm': re.compile(r'stages[._]0\.0\.conv1_1x1\.'),
    'huggingface': re.compile(r'encoder\.layer\.0\.layer\.0\.expand_1x1\.'),
    'cvnets': re.compile(r'layer_1\.0\.block\.exp_1x1\.'),
}
_CLASSIFIER = ('final_conv.', 'head.', 'conv_1x1_exp.', 'classifier.')
# (pattern, replacement): applied in this order, each at most once in a name
_RENAMED = {
    'timm': ((r'^stages_(\d)\.', r'stages.\1.'),),
    'huggingface': (
        (r'^conv_stem\.', 'stem.'),
        (r'^encoder\.layer\.(\d)\.layer\.(\d)\.', r'stages.\1.\2.'),
        (r'^encoder\.layer\.(\d)\.downsampling_layer\.', r'stages.\1.0.'),
        (r'^encoder\.layer\.(\d)\.', r'stages.\1.1.'),
        (r'\.expand_1x1\.', '.conv1_1x1.'),
        (r'\.conv_3x3\.', '.conv2_kxk.'),
        (r'\.reduce_1x1\.', '.conv3_1x1.'),
        (r'\.conv_projection\.', '.conv_proj.'),
        (r'\.fusion\.', '.conv_fusion.'),
        (r'\.conv_1x1\.convolution\.', '.conv_1x1.'),
        (r'\.transformer\.layer\.', '.transformer.'),
        (r'\.layernorm_before\.', '.norm1.'),
        (r'\.layernorm_after\.', '.norm2.'),
        (r'\.layernorm\.', '.norm.'),
        (r'\.attention\.attention\.', '.attn.'),
        (r'\.attention\.output\.dense\.', '.attn.proj.'),
        (r'\.attention\.(qkv_proj|out_proj)\.convolution\.', r'.attn.\1.'),
        (r'\.intermediate\.dense\.', '.mlp.fc1.'),
        (r'\.output\.dense\.', '.mlp.fc2.'),
        (r'\.ffn\.conv(\d)\.convolution\.', r'.mlp.fc\1.'),
        (r'\.convolution\.', '.conv.'),
        (r'\.normalization\.', '.bn.'),
    ),
    'cvnets': (
        (r'^conv_1\.block\.', 'stem.'),
        (r'^layer_1\.', 'stages.0.'),
        (r'^layer_2\.', 'stages.1.'),
        (r'^layer_3\.', 'stages.2.'),
        (r'^layer_4\.', 'stages.3.'),
        (r'^layer_5\.', 'stages.4.'),
        (r'\.block\.exp_1x1\.block\.', '.conv1_1x1.'),
        (r'\.block\.conv_3x3\.block\.', '.conv2_kxk.'),
        (r'\.block\.red_1x1\.block\.', '.conv3_1x1.'),
        (r'\.local_rep\.(conv_3x3|0)\.block\.', '.conv_kxk.'),
        (r'\.local_rep\.(conv_1x1|1)\.block\.conv\.', '.conv_1x1.'),
        (r'\.conv_proj\.block\.', '.conv_proj.'),
        (r'\.fusion\.block\.', '.conv_fusion.'),
        (r'^(stem|.*\.conv\w+)\.norm\.', r'\1.bn.'),
        (r'\.global_rep\.\d+\.(weight|bias)$', r'.norm.\1'),
        (r'\.global_rep\.', '.transformer.'),
        (r'\.pre_norm_(mha|attn)\.0\.', '.norm1.'),
        (r'\.pre_norm_mha\.1\.qkv_proj\.', '.attn.qkv.'),
        (r'\.pre_norm_mha\.1\.out_proj\.', '.attn.proj.'),
        (r'\.pre_norm_attn\.1\.(qkv_proj|out_proj)\.block\.conv\.', r'.attn.\1.'),
        (r'\.pre_norm_ffn\.0\.', '.norm2.'),
        (r'\.pre_norm_ffn\.1\.(block\.conv\.)?', '.mlp.fc1.'),
        (r'\.pre_norm_ffn\.(4|3\.block\.conv)\.', '.mlp.fc2.'),
    ),
}
_THIRDS = ('query', 'key', 'value')


@dataclass(frozen=True)
class NamedTensors:
    """The tensors of a file by our names.

    Attributes:
        tensors: In our form: RGB, queries, keys and values in one.
        keys: The names in the file of what each was made of.
        channel_order: What the file was made for, one of `CHANNEL_ORDERS`.
    """

    tensors: dict[str, Tensor]
    keys: dict[str, tuple[str, ...]]
    channel_order: str = 'RGB'


def detect_mobilevit(keys: Iterable[str]) -> Layout | None:
    """Recognise the layout from the names alone; None when no MobileViT is among them.

    Raises:
        CheckpointError: Several MobileViTs are among them.
    """
    keys = list(keys)
    found = [
        Layout(style, style, key.removesuffix(first))
        for style, first in _FIRST_CONV.items()
        for key in keys
        if key == first or key.endswith(f'.{first}')
    ]
    found = [layout for layout in found if _has_first_block(keys, layout)]
    if len(found) > 1:
        names = ', '.join(repr(layout.prefix) for layout in found)
        raise CheckpointError(f'{len(found)} MobileViTs, below {names}: save the wanted one')
    if not found:
        return None
    (layout,) = found
    own = ('stem.conv.bias', 'out_norms.')
    inside = (key.removeprefix(layout.prefix) for key in keys)
    if layout.prefix.endswith('backbone.') or any(key.startswith(own) for key in inside):
        return Layout('fastvit_dense', 'timm', layout.prefix)
    return layout


def _has_first_block(keys: list[str], layout: Layout) -> bool:
    pattern = _FIRST_BLOCK[layout.style]
    return any(
        key.startswith(layout.prefix) and pattern.match(key, len(layout.prefix)) for key in keys
    )


def mobilevit_names(keys: Iterable[str], style: str) -> dict[str, str]:
    """Return our name for each key of a file, prefix removed; one that is not known stays.

    The name of a third of queries, keys and values ends in `attn.query.weight` and so on.

    Raises:
        CheckpointError: Two keys would get one name.
    """
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for key in keys:
        name = key
        for pattern, replacement in _RENAMED[style]:
            name = re.sub(pattern, replacement, name, count=1)
        if name in taken:
            raise CheckpointError(f'{taken[name]!r} and {key!r} would both be called {name!r}')
        names[key], taken[name] = name, key
    return names


def check_channel_order(order: str | None) -> None:
    """Check what a caller says of a file.

    Raises:
        CheckpointError: It is not one of `CHANNEL_ORDERS`.
    """
    if order is not None and order not in CHANNEL_ORDERS:
        raise CheckpointError(f"channel_order: expected 'RGB' or 'BGR', found {order!r}")


def mobilevit_tensors(
    state: Mapping[str, Tensor], layout: Layout, channel_order: str | None = None
) -> NamedTensors:
    """Return the tensors behind a layout's prefix by our names, the classifier left out.

    Args:
        state: Of a file.
        layout: As found in it.
        channel_order: What the file was made for; None: what is known of its layout.
    """
    prefix = layout.prefix
    inside = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
    keys: dict[str, tuple[str, ...]] = {
        name: (prefix + key,)
        for key, name in mobilevit_names(inside, layout.style).items()
        if not name.startswith(_CLASSIFIER)
    }
    tensors = {name: state[parts[0]] for name, parts in keys.items()}
    for name in list(tensors):
        head, third, leaf = name.rpartition('.attn.query.')
        thirds = [f'{head}.attn.{part}.{leaf}' for part in _THIRDS]
        if third and _can_be_joined([tensors.get(name) for name in thirds]):
            whole = f'{head}.attn.qkv.{leaf}'
            tensors[whole] = torch.cat([tensors.pop(name) for name in thirds])
            keys[whole] = tuple(keys.pop(name)[0] for name in thirds)
    first = tensors['stem.conv.weight']
    is_first_version = any('.attn.qkv.' in name for name in tensors)
    is_bgr = layout.style in _BGR and is_first_version and _OF_CVNETS_2 not in state
    order = channel_order or ('BGR' if is_bgr else 'RGB')
    if order == 'BGR' and first.dim() == 4 and not kind_fault(first):
        tensors['stem.conv.weight'] = first.flip(1)
    return NamedTensors(tensors, keys, order)


def mobilevit_classifier(state: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Return the classifier's tensors by timm's names; empty where the file has none."""
    tensors = {}
    for key, tensor in state.items():
        beside = layout.style == 'huggingface' and key.startswith('classifier.')
        if not beside and not key.startswith(layout.prefix):
            continue
        short = key if beside else key.removeprefix(layout.prefix)
        name = mobilevit_names([short], layout.style)[short]
        if name.startswith(_CLASSIFIER):
            name = re.sub(r'^conv_1x1_exp\.(block\.)?', 'final_conv.', name)
            name = re.sub(r'^classifier\.((fc|1)\.)?', 'head.fc.', name)
            tensors[name.replace('.norm.', '.bn.')] = tensor
    return tensors


def _can_be_joined(parts: list[Tensor | None]) -> bool:
    """Tell whether all parts are there and alike; others are left to be reported."""
    found = [part for part in parts if part is not None and not kind_fault(part)]
    alike = {(part.shape, part.dtype) for part in found}
    return len(found) == len(parts) and len(alike) == 1 and found[0].dim() > 0


def identify_mobilevit(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the variants, as in 's', whose channels, attention and expansion these are."""
    ends = {i: tensors.get(f'stages.{i}.0.conv3_1x1.conv.weight') for i in range(5)}
    found = {i: tuple(end.shape[:2]) for i, end in ends.items() if end is not None}
    linear = any('.attn.qkv_proj.' in name for name in tensors)
    names = [
        arch
        for arch, variant in MOBILEVIT_VARIANTS.items()
        if found
        and variant.linear == linear
        and all(
            shape == (variant.channels[i], variant.expansion * (variant.stem, *variant.channels)[i])
            for i, shape in found.items()
        )
    ]
    return ' or '.join(names) or None
