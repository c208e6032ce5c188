"""The blocks of FastViT (arXiv 2303.14189), each in a training form and a folded form.

Submodules carry the names of the published files. What a block does not have, or no longer has
once it is folded, is None.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from .convolutions import ConvNorm, MobileOneBlock
from .norms import build_drop_path, build_norm
from .reparam import (
    Foldable,
    fold_affine_after,
    fold_affine_before,
    fold_repmixer,
    folded_conv,
    norm_affine,
    set_folded,
)

HEAD_DIM = 32  # channels per attention head in every variant


class RepMixer(Foldable):
    """Token mixing without attention: `x + g * (mixer(x) - norm(x))` (paper section 3.1).

    Without `overparameterized` the mixer is its 3x3 convolution alone.
    """

    def __init__(
        self,
        channels: int,
        layer_scale_init: float,
        norm_cfg: str | dict,
        overparameterized: bool = True,
    ) -> None:
        super().__init__()
        depthwise = partial(
            MobileOneBlock, channels, channels, 3, groups=channels, norm_cfg=norm_cfg, use_act=False
        )
        self.norm = depthwise(use_conv=False, use_scale_branch=False)
        self.mixer = depthwise(use_scale_branch=overparameterized, use_identity=overparameterized)
        self.layer_scale = _layer_scale(channels, layer_scale_init)
        self.reparam_conv: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        if self.reparam_conv is not None:
            return self.reparam_conv(x)
        return x + self.layer_scale * (self.mixer(x) - self.norm(x))

    def fold(self) -> None:
        """Replace everything by one depthwise 3x3 convolution."""
        if self.reparam_conv is None:
            weight, bias = fold_repmixer(
                self.mixer.folded_kernel(), self.norm.folded_kernel(), self.layer_scale
            )
            self.reparam_conv = folded_conv(weight, bias, 1, len(bias), like=self.layer_scale)
            self.register_module('norm', None)
            self.register_module('mixer', None)
            self.register_parameter('layer_scale', None)


class ConvFFN(nn.Module):
    """Feed-forward network with a depthwise 7x7 convolution in front (paper section 3.3)."""

    def __init__(
        self, channels: int, hidden_channels: int, norm_cfg: str | dict, kernel_size: int = 7
    ) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, channels, kernel_size, 1, channels, norm_cfg)
        self.fc1 = nn.Conv2d(channels, hidden_channels, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(hidden_channels, channels, 1)
        for conv in (self.conv.conv, self.fc1, self.fc2):
            init_linear(conv)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        return self.fc2(self.act(self.fc1(self.conv(x))))

    def fold(self, layer_scale: Tensor) -> None:
        """Fold the norm into the convolution and `layer_scale` (C, 1, 1) into `fc2`."""
        self.conv.fold()
        set_folded(self.fc2, *fold_affine_after(self.fc2.weight, self.fc2.bias, layer_scale))


class Attention(nn.Module):
    """Multi-head self-attention over all positions of a feature map, heads of 32 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_heads = channels // HEAD_DIM
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)
        init_linear(self.qkv)
        init_linear(self.proj)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        batch, channels, height, width = x.shape
        qkv = self.qkv(x.flatten(2).transpose(1, 2))
        mixed = self.proj(attend(qkv, self.num_heads))
        return mixed.transpose(1, 2).reshape(batch, channels, height, width)


def attend(qkv: Tensor, num_heads: int) -> Tensor:
    """Mix tokens by multi-head self-attention, (B, N, 3 * C) to (B, N, C).

    Args:
        qkv: Queries, keys and values of all tokens, one third each; the heads share a third.
        num_heads: A divisor of C.
    """
    batch, tokens, channels = qkv.shape
    heads = qkv.reshape(batch, tokens, 3, num_heads, channels // (3 * num_heads))
    query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).flatten(2)


class RepMixerBlock(Foldable):
    """RepMixer, then the ConvFFN in a residual branch."""

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        drop_path: float,
        layer_scale_init: float,
        norm_cfg: str | dict,
        ffn_kernel_size: int = 7,
        overparameterized: bool = True,
    ) -> None:
        super().__init__()
        self.token_mixer = RepMixer(channels, layer_scale_init, norm_cfg, overparameterized)
        self.mlp = ConvFFN(channels, hidden_channels, norm_cfg, ffn_kernel_size)
        self.layer_scale: nn.Parameter | None = _layer_scale(channels, layer_scale_init)
        self.drop_path = build_drop_path(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        x = self.token_mixer(x)
        return x + self.drop_path(_scaled(self.mlp(x), self.layer_scale))

    def fold(self) -> None:
        """Fold the mixer, the norm of the ConvFFN and the layer scale."""
        if self.layer_scale is not None:
            self.token_mixer.fold()
            self.mlp.fold(self.layer_scale)
            self.layer_scale = None


class AttentionBlock(Foldable):
    """Norm and self-attention in a residual branch, then the ConvFFN in another."""

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        drop_path: float,
        layer_scale_init: float,
        norm_cfg: str | dict,
        ffn_kernel_size: int = 7,
        *,
        attention_norm_cfg: str | dict,
    ) -> None:
        super().__init__()
        self.norm: nn.Module | None = build_norm(attention_norm_cfg, channels)
        self.token_mixer = Attention(channels)
        self.layer_scale_1: nn.Parameter | None = _layer_scale(channels, layer_scale_init)
        self.mlp = ConvFFN(channels, hidden_channels, norm_cfg, ffn_kernel_size)
        self.layer_scale_2: nn.Parameter | None = _layer_scale(channels, layer_scale_init)
        self.drop_path = build_drop_path(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        mixed = self.token_mixer(x if self.norm is None else self.norm(x))
        x = x + self.drop_path(_scaled(mixed, self.layer_scale_1))
        return x + self.drop_path(_scaled(self.mlp(x), self.layer_scale_2))

    def fold(self) -> None:
        """Fold BatchNorms and layer scales into the layers beside them; a LayerNorm stays."""
        if self.layer_scale_1 is None or self.layer_scale_2 is None:
            return
        qkv, proj = self.token_mixer.qkv, self.token_mixer.proj
        if isinstance(self.norm, _BatchNorm):
            set_folded(qkv, *fold_affine_before(qkv.weight, None, *norm_affine(self.norm)))
            self.norm = None
        set_folded(proj, *fold_affine_after(proj.weight, proj.bias, self.layer_scale_1))
        self.mlp.fold(self.layer_scale_2)
        self.layer_scale_1 = self.layer_scale_2 = None


def _layer_scale(channels: int, init: float) -> nn.Parameter:
    return nn.Parameter(torch.full((channels, 1, 1), init))


def _scaled(x: Tensor, layer_scale: Tensor | None) -> Tensor:
    return x if layer_scale is None else layer_scale * x


def init_linear(layer: nn.Conv2d | nn.Linear) -> None:
    """Draw the weight from a narrow normal distribution; the bias becomes 0."""
    if not layer.weight.is_meta:  # without values torch takes as long, operator by operator
        nn.init.trunc_normal_(layer.weight, std=0.02)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
