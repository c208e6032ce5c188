"""Published dense models on MobileViT: the names of their tensors, and the way to ours.

| file | model | heads |
|---|---|---|
| Hugging Face | `MobileViTForSemanticSegmentation`: DeepLabv3 | `segmentation_head` |
| CVNets 0.1, 0.2 | DeepLabv3 | `seg_head` |
| CVNets 0.1 | SSDLite | `extra_layers`, `ssd_heads` |

Ours are those of `configs/deeplabv3_mobilevit_*.py` and `configs/ssdlite_mobilevit_*.py`. The
backbones' names are those of `mobilevit_layouts`.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from .mobilevit_layouts import detect_mobilevit, mobilevit_tensors
from .state import kind_fault

_HEADS = ('segmentation_head.', 'seg_head.', 'extra_layers.', 'ssd_heads.')
_ASPP = r'^(?:segmentation_head\.aspp|seg_head\.aspp\.aspp_layer)\.'
# (pattern, replacement): applied in this order, each at most once in a name
_RENAMED = (
    (_ASPP + r'convs\.4\.(?:aspp_pool\.)?conv_1x1\.', 'decode_head.image_pool.1.'),
    (_ASPP + r'convs\.(\d)\.', r'decode_head.aspp_modules.\1.'),
    (_ASPP + r'project\.', 'decode_head.bottleneck.'),
    (r'^segmentation_head\.classifier\.convolution\.', 'decode_head.conv_seg.'),
    (r'^seg_head\.classifier\.(?:classifier\.)?block\.conv\.', 'decode_head.conv_seg.'),
    (r'^seg_head\.aux_head\.aux_projection\.', 'auxiliary_head.convs.0.'),
    (r'^seg_head\.aux_head\.aux_classifier\.block\.conv\.', 'auxiliary_head.conv_seg.'),
    (r'^extra_layers\.os_64\.', 'neck.extra_layers.0.'),
    (r'^extra_layers\.os_128\.', 'neck.extra_layers.1.'),
    (r'^extra_layers\.os_256\.', 'neck.extra_layers.2.'),
    (r'^extra_layers\.os_-1\.', 'neck.extra_layers.3.'),
    (r'^ssd_heads\.(\d)\.proj_layer\.', r'neck.projections.\1.'),
    (r'^ssd_heads\.(\d)\.loc_cls_layer\.block\.conv\.', r'bbox_head.predictors.\1.'),
    (r'^ssd_heads\.(\d)\.loc_cls_layer\.', r'bbox_head.predictors.\1.'),
    (r'\.dw_conv\.', '.depthwise_conv.'),
    (r'\.pw_conv\.', '.pointwise_conv.'),
    (r'\.block\.', '.'),
    (r'\.convolution\.', '.conv.'),
    (r'\.(?:normalization|norm)\.', '.bn.'),
)
_JOINED = 'decode_head.bottleneck.conv.weight'
_PREDICTOR = re.compile(r'bbox_head\.predictors\.\d\.(pointwise_conv\.conv\.)?(?:weight|bias)$')
_ANCHORS, _LAST_ANCHORS = 6, 4  # of a cell: two squares, and two shapes for each aspect ratio
_BOX = 4


def dense_tensors(
    state: Mapping[str, Tensor], channel_order: str | None = None
) -> dict[str, Tensor] | None:
    """Give the tensors of a published dense model by the names of ours; None where it is none.

    What no table knows keeps its name, to be reported.

    Args:
        state: Of a file.
        channel_order: As of `mobilevit_tensors`.

    Raises:
        CheckpointError: Several MobileViTs are in it, or two keys would get one name.
    """
    if not any(key.startswith(_HEADS) for key in state):
        return None
    layout = detect_mobilevit(state)
    if layout is None:
        return None
    named = mobilevit_tensors(state, layout, channel_order)
    tensors = {f'backbone.{name}': tensor for name, tensor in named.tensors.items()}
    for key, tensor in state.items():
        if key.startswith(layout.prefix):
            continue
        name = key
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name, count=1)
        tensors[name] = _arranged(name, tensor)
    return tensors


def _arranged(name: str, tensor: Tensor) -> Tensor:
    """Put channels into our order; a tensor of no such form stays, to be reported."""
    if kind_fault(tensor) or not tensor.dim():
        return tensor
    if name == _JOINED and tensor.dim() == 4 and tensor.shape[1] % 5 == 0:
        *convolutions, pooled = tensor.chunk(5, 1)
        return torch.cat([pooled, *convolutions], 1)  # mmseg begins with the pooled map
    if match := _PREDICTOR.match(name):
        anchors = _ANCHORS if match[1] else _LAST_ANCHORS
        if len(tensor) % anchors == 0 and len(tensor) // anchors > _BOX + 1:
            outputs = tensor.unflatten(0, (anchors, -1))
            background = outputs[:, _BOX : _BOX + 1]  # mmdet's class behind all others
            classes = outputs[:, _BOX + 1 :]
            return torch.cat([outputs[:, :_BOX], classes, background], 1).flatten(0, 1)
    return tensor
