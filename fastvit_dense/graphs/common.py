"""Parts shared by the graphs: the normalisation in front, and the backbone alone."""

import torch
from torch import Tensor, nn

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
        self.has_mean = bool(mean.any())
        self.register_buffer('mean', mean.view(1, 3, 1, 1))
        self.register_buffer('std', std.view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, 3, H, W) to the network's input of the same shape."""
        if self.has_mean:
            image = image - self.mean
        if self.std is not None:
            image = image / self.std
        return image.flip(1) if self.to_bgr else image

    def fold_into(self, backbone: nn.Module) -> None:
        """Leave the deviation and the order of channels to a backbone that takes them over.

        The mean stays: where the first convolution pads with zeros, zero is the mean colour.

        Args:
            backbone: With a method `fold_input_scale(std, reverse)`.
        """
        backbone.fold_input_scale(self.std.flatten(), self.to_bgr)
        self.std, self.to_bgr = None, False


def map_names(backbone: nn.Module) -> tuple[str, ...]:
    """Names of a backbone's maps as outputs, by the numbers of its stages where it tells them."""
    indices = getattr(backbone, 'out_indices', range(len(backbone.out_channels)))
    return tuple(f'stage{i}' for i in indices)


class BackboneGraph(nn.Module):
    """Images to the backbone's feature maps, outputs `stage0`, `stage1`, ..."""

    takes_batches = True

    def __init__(self, normalize: Normalize, backbone: nn.Module) -> None:
        super().__init__()
        self.normalize = normalize
        self.backbone = backbone
        self.output_names = map_names(backbone)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to maps (B, C_i, ceil(H / s_i), ceil(W / s_i))."""
        return self.backbone(self.normalize(image))


def fold_surroundings(model: nn.Module, normalize: Normalize) -> None:
    """Fold what stands before and behind a backbone into it and what follows, in place.

    `reparameterize` must leave both, because it knows the backbone alone. Done where the backbone
    offers it: `fold_input_scale(std, reverse)` and `fold_outputs(convs)`, see `FastViT`.

    Args:
        model: Holds the folded `backbone`, in eval mode.
        normalize: Stands in front of it.
    """
    if hasattr(model.backbone, 'fold_input_scale'):
        normalize.fold_into(model.backbone)
    if hasattr(model.backbone, 'fold_outputs'):
        model.backbone.fold_outputs(_lateral_convs(model))


def _lateral_convs(model: nn.Module) -> list[nn.Conv2d]:
    """The FPN's plain 1x1 convolutions, one for each output of the backbone, or none."""
    neck = getattr(model, 'neck', None)
    modules = list(getattr(neck, 'lateral_convs', ()))
    if len(modules) != len(model.backbone.out_channels) or getattr(neck, 'start_level', 0):
        return []
    convs = [getattr(module, 'conv', None) for module in modules]
    plain = all(
        isinstance(conv, nn.Conv2d) and conv.kernel_size == (1, 1) and not module.with_norm
        for conv, module in zip(convs, modules, strict=True)
    )
    return convs if plain else []
