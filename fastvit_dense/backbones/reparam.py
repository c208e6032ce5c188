"""Folding of branches, BatchNorm and layer scales into the convolutions beside them.

In eval mode a BatchNorm is the per-channel affine map `scale * x + shift`, and parallel linear
branches that are added are one linear map (FastViT, arXiv 2303.14189, section 3.1; MobileOne,
arXiv 2206.04040, section 3.1). The functions take plain tensors, so that they serve modules and
state dicts alike. They compute and return float64; the caller casts the result back.

`reparameterize` applies them to every `Foldable` block of a model.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def double(tensor: Tensor) -> Tensor:
    """Return `tensor` detached and in float64 (on the CPU where the device has no float64)."""
    device = 'cpu' if tensor.device.type == 'mps' else tensor.device
    return tensor.detach().to(device, torch.float64)


def batch_norm_affine(
    mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """Return `(scale, shift)`, each (C,), of a BatchNorm that uses its running statistics.

    Args:
        mean: Running mean, (C,).
        var: Running (unbiased) variance, (C,).
        weight: (C,) or None for 1.
        bias: (C,) or None for 0.
        eps: The constant added to the variance.
    """
    scale = (double(var) + eps).rsqrt()
    if weight is not None:
        scale = scale * double(weight)
    shift = -double(mean) * scale
    if bias is not None:
        shift = shift + double(bias)
    return scale, shift


def fold_affine_after(
    weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Fold `scale * y + shift` into the convolution or linear layer that computes `y`.

    Args:
        weight: (out, ...) kernel.
        bias: (out,) or None.
        scale: `out` values in any shape: a BatchNorm's scale or a layer scale (out, 1, 1).
        shift: (out,) or None.

    Returns:
        `(weight, bias)` of the one layer that does both.
    """
    weight, scale = double(weight), double(scale).flatten()
    folded = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    total = torch.zeros_like(scale) if bias is None else double(bias) * scale
    return folded, total if shift is None else total + double(shift)


def fold_affine_before(
    weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Fold `scale * x + shift` into the linear layer (out, in) that is applied to it.

    Only for layers without spatial extent: a padded convolution pads behind the shift.
    """
    weight = double(weight)
    total = weight @ double(shift)
    return weight * double(scale), total if bias is None else total + double(bias)


def identity_kernel(
    channels: int, groups: int, size: int, device: torch.device | None = None
) -> Tensor:
    """Return the (channels, channels / groups, size, size) kernel that copies its input.

    Args:
        channels: Input and output channels.
        groups: Groups of the convolution.
        size: Odd kernel size; the one non-zero tap is in the centre.
        device: Where to put it.
    """
    per_group = channels // groups
    index = torch.arange(channels, device=device)
    shape = (channels, per_group, size, size)
    kernel = torch.zeros(shape, dtype=torch.float64, device=device)
    kernel[index, index % per_group, size // 2, size // 2] = 1
    return kernel


def pad_kernel(weight: Tensor, size: int) -> Tensor:
    """Return an odd square kernel zero-padded on all sides to `size` x `size`."""
    return nn.functional.pad(double(weight), [(size - weight.shape[-1]) // 2] * 4)


def fold_repmixer(
    mixer: tuple[Tensor, Tensor], norm: tuple[Tensor, Tensor], layer_scale: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Fold `x + g * (mixer(x) - norm(x))` into one depthwise convolution (paper eq. 3-4).

    Args:
        mixer: (C, 1, k, k) kernel and (C,) bias of the folded mixer branch.
        norm: Kernel and bias of the folded norm branch, same shapes.
        layer_scale: G, C values in any shape, or None for 1.

    Returns:
        `W = I + g * (W_mixer - W_norm)` and `b = g * (b_mixer - b_norm)`.
    """
    weight = double(mixer[0]) - double(norm[0])
    bias = double(mixer[1]) - double(norm[1])
    if layer_scale is not None:
        weight, bias = fold_affine_after(weight, bias, layer_scale)
    channels, _, _, size = weight.shape
    return weight + identity_kernel(channels, channels, size, weight.device), bias


class Foldable(nn.Module):
    """A block with a folded form. `fold` folds everything inside, other `Foldable` included."""

    def fold(self) -> None:
        """Replace the block's own branches, norms and scales by the layers that absorb them.

        Doing it again changes nothing.
        """
        raise NotImplementedError


def norm_affine(norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Return `batch_norm_affine` of a module.

    Raises:
        TypeError: It is not a BatchNorm that keeps running statistics.
    """
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None or norm.running_var is None:
        raise TypeError(f'expected a BatchNorm with running statistics, found {norm!r}')
    return batch_norm_affine(norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps)


def set_folded(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Give `layer` the folded weight and bias, in the dtype and on the device it has."""
    old = layer.weight
    layer.weight = nn.Parameter(weight.to(old), requires_grad=old.requires_grad)
    layer.bias = nn.Parameter(bias.to(old), requires_grad=old.requires_grad)


def folded_conv(weight: Tensor, bias: Tensor, stride: int, groups: int, like: Tensor) -> nn.Conv2d:
    """Return a padded `Conv2d` with the given weight and bias, in dtype and device of `like`."""
    with torch.device('meta'):
        conv = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            weight.shape[-1],
            stride=stride,
            padding=weight.shape[-1] // 2,
            groups=groups,
        )
    conv.weight = nn.Parameter(weight.to(like), requires_grad=like.requires_grad)
    conv.bias = nn.Parameter(bias.to(like), requires_grad=like.requires_grad)
    return conv


def reparameterize(model: nn.Module) -> nn.Module:
    """Fold every FastViT block found in `model` into its inference form.

    Branches become single convolutions; the BatchNorm of the ConvFFN, the BatchNorm before
    attention and all layer scales go into the layers beside them. LayerNorm, squeeze-excite and
    the output norms stay. The arithmetic is done in float64 and cast back.

    Args:
        model: A backbone or any model that holds one, for example a whole detector. It is
            changed in place. Doing it twice changes nothing.

    Returns:
        The same model in eval mode.

    Raises:
        ValueError: A BatchNorm that would be folded is in training mode, or has no running
            statistics. The message names the module; nothing has been changed.
    """
    blocks = list(_foldable(model))
    for prefix, block in blocks:
        for name, norm in block.named_modules(prefix=prefix):
            if not isinstance(norm, _BatchNorm):
                continue
            if norm.training:
                raise ValueError(
                    f'cannot fold {name!r}: this BatchNorm is in training mode, and a fold would '
                    'freeze statistics that still change; call model.eval() first'
                )
            if norm.running_mean is None:
                raise ValueError(f'cannot fold {name!r}: it keeps no running statistics')
    for _, block in blocks:
        block.fold()
    return model.eval()


def _foldable(module: nn.Module, prefix: str = '') -> Iterator[tuple[str, Foldable]]:
    """Yield the outermost foldable blocks of `module` with their names."""
    if isinstance(module, Foldable):
        yield prefix, module
        return
    for name, child in module.named_children():
        yield from _foldable(child, f'{prefix}.{name}' if prefix else name)
