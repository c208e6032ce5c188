"""What the graphs share: the normalisation in front, and the backbone alone."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..backbones.fastvit import FastViT
from ..backbones.reparam import double, fold_affine_before, norm_affine, set_folded
from ..compat.openmmlab import swaps_channels


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
