"""Whole models as modules of one input, an RGB image of 0-255, for tracing.

A traced graph keeps the operators of one forward pass, so these modules hold no loop whose length,
and no size that, depends on the image: the same file takes images of any size. The detector, which
needs more than that, is in `detector.py`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..backbones import FastViT
from ..backbones.reparam import double, fold_affine_before, norm_affine, set_folded
from ..openmmlab import swaps_channels
from .description import ExportError


class Normalize(nn.Module):
    """RGB of 0-255 to what the backbone was trained on: the config's data preprocessor.

    Args:
        preprocessor: mmengine's, mmdet's or mmseg's; for its mean, deviation and channel order.

    Attributes:
        rgb_mean, rgb_std: Three numbers each, red, green, blue.
    """

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        mean = getattr(preprocessor, 'mean', None)
        std = getattr(preprocessor, 'std', None)
        mean = torch.zeros(3) if mean is None else mean.detach().cpu().flatten()
        std = torch.ones(3) if std is None else std.detach().cpu().flatten()
        # without the conversion the network takes the pipeline's BGR: its mean is in that order
        self.to_bgr = not swaps_channels(preprocessor)
        if self.to_bgr:
            mean, std = mean.flip(0), std.flip(0)
        self.rgb_mean, self.rgb_std = mean.tolist(), std.tolist()
        self.register_buffer('mean', mean.view(1, 3, 1, 1))
        self.register_buffer('std', std.view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, 3, H, W) to the network's input of the same shape."""
        image = image - self.mean
        if self.std is not None:
            image = image / self.std
        return image.flip(1) if self.to_bgr else image

    def fold_into(self, conv: nn.Conv2d) -> None:
        """Leave the deviation and the order of channels to the convolution that follows.

        The mean stays: where the convolution pads with zeros, zero is the mean colour.
        """
        weight = conv.weight.flip(1) if self.to_bgr else conv.weight
        set_folded(conv, double(weight) / double(self.std), conv.bias)
        self.std, self.to_bgr = None, False


class BackboneGraph(nn.Module):
    """Image to the backbone's feature maps, outputs `stage0`, `stage1`, ..."""

    def __init__(self, normalize: Normalize, backbone: nn.Module) -> None:
        super().__init__()
        self.normalize = normalize
        self.backbone = backbone
        self.output_names = tuple(f'stage{i}' for i in backbone.out_indices)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Image (1, 3, H, W) to maps (1, C_i, ceil(H / s_i), ceil(W / s_i))."""
        return self.backbone(self.normalize(image))


class SegmentorGraph(nn.Module):
    """Image to the logits of every pixel, output `logits`.

    Args:
        normalize: In front.
        model: mmseg's `EncoderDecoder` in eval mode; modules of it that compute sizes in Python
            are replaced. Where its preprocessor pads test images to a multiple, so does this graph.

    Raises:
        ExportError: A model, or a way of testing it, that one pass over the image is not.
    """

    output_names = ('logits',)

    def __init__(self, normalize: Normalize, model: nn.Module) -> None:
        super().__init__()
        if not hasattr(model, 'encode_decode') or isinstance(model.decode_head, nn.ModuleList):
            raise ExportError(
                f'{type(model).__name__}: of the semantic models an EncoderDecoder can be '
                'exported; --part backbone exports any'
            )
        if model.test_cfg.get('mode', 'whole') != 'whole':
            raise ExportError(
                f'model.test_cfg.mode={model.test_cfg.mode!r}: a file sees the whole image, so its '
                "scores would be others; export with --cfg-options model.test_cfg.mode='whole'"
            )
        preprocessor = model.data_preprocessor
        padding = getattr(preprocessor, 'test_cfg', None) or {}
        if padding.get('size') or (padding and preprocessor.pad_val):
            raise ExportError(
                f'model.data_preprocessor: test_cfg={padding}, pad_val={preprocessor.pad_val}: of '
                'the ways to pad, size_divisor with pad_val=0 can be exported'
            )
        self.divisor = padding.get('size_divisor') or 1
        self.normalize = normalize
        self.model = model
        self.align_corners = model.align_corners
        _replace_python_sizes(model)

    def forward(self, image: Tensor) -> Tensor:
        """Image (1, 3, H, W) to logits (1, classes, H, W)."""
        height, width = image.shape[2:]
        image = self.normalize(image)
        if self.divisor > 1:
            bottom, right = -height % self.divisor, -width % self.divisor
            image = F.pad(image, (0, right, 0, bottom))
        logits = self.model.decode_head(self.model.extract_feat(image))
        logits = F.interpolate(
            logits, size=image.shape[2:], mode='bilinear', align_corners=self.align_corners
        )
        return logits[:, :, :height, :width] if self.divisor > 1 else logits


class HandGraph(nn.Module):
    """Image of a right hand to MANO's parameters, and to its mesh where asked for.

    Outputs `global_orient` (1, 3, 3), `hand_pose` (1, 15, 3, 3), `betas` (1, 10), `camera` (1, 3)
    as in `hand.heads.HandParameters`; with the mesh `vertices` (1, 778, 3) and `joints` (1, 21, 3),
    metres, relative to the root joint. Where MANO's data must stay out, `numbers` (1, 109) alone,
    which `hand.heads.decode` turns into parameters with the user's own MANO file: even the mean
    pose from which the fingers start is MANO's.

    Args:
        normalize: In front.
        model: `HandMeshRegressor` in eval mode.
        with_mano: Put the model's hand inside.

    Raises:
        ExportError: The head needs MANO's surface, and it must stay out.
    """

    def __init__(self, normalize: Normalize, model: nn.Module, with_mano: bool) -> None:
        super().__init__()
        self.normalize = normalize
        self.model = model
        self.with_mesh = with_mano
        self.raw = not (with_mano or model.mano.is_standin)
        if self.raw and not hasattr(model.head, 'numbers'):
            raise ExportError(
                f'{type(model.head).__name__} looks at the image where the hand surface is, so its '
                "file holds MANO's arrays: add --with-mano, and keep the file to yourself"
            )
        if self.raw:
            self.output_names = ('numbers',)
        else:
            self.output_names = ('global_orient', 'hand_pose', 'betas', 'camera')
            if self.with_mesh:
                self.output_names += ('vertices', 'joints')

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Image (1, 3, W, W) to the outputs named above."""
        from ..hand.camera import ROOT

        features = self.model.backbone(self.normalize(image))
        if self.model.neck is not None:
            features = self.model.neck(features)
        if self.raw:
            return self.model.head.numbers(features)
        hand = self.model.head(features, self.model.mano)[-1]
        outputs = hand[:4]
        if self.with_mesh:
            mesh = self.model.mano(hand.global_orient, hand.hand_pose, hand.betas)
            root = mesh.joints[:, ROOT, None]
            outputs += (mesh.vertices - root, mesh.joints - root)
        return outputs


def fold_output_norms(model: nn.Module, backbone: FastViT) -> None:
    """Fold the backbone's output norms into what follows; none of them is left.

    `reparameterize` must leave them, because the stage's output also feeds the next stage. Here
    the whole model is known: where 1x1 convolutions of an FPN follow, they absorb the norms;
    elsewhere each becomes a depthwise 1x1 convolution.

    Args:
        model: Holds the backbone, in eval mode; changed in place.
        backbone: A folded `FastViT`.
    """
    laterals = _lateral_convs(model)
    for i, (name, norm) in enumerate(backbone.out_norms.items()):
        if not isinstance(norm, _BatchNorm):
            continue
        scale, shift = norm_affine(norm)
        if laterals:
            conv = laterals[i]
            weight, bias = fold_affine_before(conv.weight[:, :, 0, 0], conv.bias, scale, shift)
            set_folded(conv, weight[:, :, None, None], bias)
            backbone.out_norms[name] = nn.Identity()
        else:
            conv = nn.Conv2d(len(scale), len(scale), 1, groups=len(scale))
            set_folded(conv, scale.view(-1, 1, 1, 1), shift)
            backbone.out_norms[name] = conv.requires_grad_(False)


def _lateral_convs(model: nn.Module) -> list[nn.Conv2d]:
    """The FPN's plain 1x1 convolutions, one for each output of the backbone, or none."""
    neck = getattr(model, 'neck', None)
    modules = list(getattr(neck, 'lateral_convs', ()))
    if len(modules) != len(model.backbone.out_norms) or getattr(neck, 'start_level', 0):
        return []
    convs = [getattr(module, 'conv', None) for module in modules]
    plain = all(
        isinstance(conv, nn.Conv2d) and conv.kernel_size == (1, 1) and not module.with_norm
        for conv, module in zip(convs, modules, strict=True)
    )
    return convs if plain else []


class _Upsample(nn.Module):
    """mmseg's `Upsample`, which computes the size in Python, with a size that follows the image."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.args = dict(mode=source.mode, align_corners=source.align_corners)
        self.scale_factor = int(source.scale_factor)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        size = (height * self.scale_factor, width * self.scale_factor)
        return F.interpolate(x, size=size, **self.args)


class _AdaptivePool(nn.Module):
    """`nn.AdaptiveAvgPool2d`, which ONNX has for one cell alone, as a product with two matrices."""

    def __init__(self, source: nn.AdaptiveAvgPool2d) -> None:
        super().__init__()
        size = source.output_size
        self.cells = (size, size) if isinstance(size, int) else tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (_averages(n, k, x) for n, k in zip(x.shape[2:], self.cells, strict=True))
        return rows @ x @ columns.T


def _averages(length: int | Tensor, cells: int, like: Tensor) -> Tensor:
    """(cells, length): with which weights the places along an axis are averaged in each cell."""
    numbers = torch.arange(cells, device=like.device)[:, None]
    start, end = numbers * length // cells, ((numbers + 1) * length + cells - 1) // cells
    places = torch.arange(length, device=like.device)
    inside = (places >= start) & (places < end)
    return inside.to(like.dtype) / (end - start).to(like.dtype)


def _replace_python_sizes(module: nn.Module) -> None:
    """Put modules whose sizes follow the image in place of those that compute them in Python."""
    for name, child in module.named_children():
        is_mmseg = type(child).__module__.startswith('mmseg') and type(child).__name__ == 'Upsample'
        if is_mmseg and not child.size and float(child.scale_factor).is_integer():
            setattr(module, name, _Upsample(child))
        elif isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
            setattr(module, name, _AdaptivePool(child))
        else:
            _replace_python_sizes(child)
