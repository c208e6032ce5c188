"""The blocks of MobileViT (arXiv 2110.02178) and MobileViTv2 (arXiv 2206.02680).

Submodules carry the names that timm's files have.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import attend, init_linear
from .convolutions import ConvNorm
from .reparam import Foldable

PATCH = 2  # pixels along a side of the patches
NUM_HEADS = 4
FFN_RATIO = 2


class ConvNormAct(ConvNorm, Foldable):
    """A convolution, its norm, and SiLU; folded: a convolution with a bias, and SiLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        norm_cfg: str | dict,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        use_act: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, groups, norm_cfg, dilation)
        self.act = nn.SiLU() if use_act else nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, mode='fan_out')

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        return self.act(super().forward(x))


class InvertedResidual(nn.Module):
    """Expand, depthwise 3x3, reduce (MobileNetV2, arXiv 1801.04381)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int,
        norm_cfg: str | dict,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.conv1_1x1 = ConvNormAct(in_channels, hidden, 1, norm_cfg)
        self.conv2_kxk = ConvNormAct(hidden, hidden, 3, norm_cfg, stride, hidden, dilation)
        self.conv3_1x1 = ConvNormAct(hidden, out_channels, 1, norm_cfg, use_act=False)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        y = self.conv3_1x1(self.conv2_kxk(self.conv1_1x1(x)))
        return x + y if self.has_shortcut else y


# --- patches ---------------------------------------------------------------------------------


def resized(x: Tensor, height: int, width: int, align_corners: bool) -> Tensor:
    """Resize maps by bilinear interpolation where their size differs.

    A traced graph keeps the step: what it sees later may be of another size.
    """
    if not torch.jit.is_tracing() and x.shape[2:] == (height, width):
        return x
    return F.interpolate(x, (height, width), mode='bilinear', align_corners=align_corners)


def resized_to_patches(x: Tensor, align_corners: bool) -> Tensor:
    """Resize maps up to a height and width that are multiples of the patch."""
    # no division of a negative number: in an ONNX file it would round towards zero
    height, width = ((size + PATCH - 1) // PATCH * PATCH for size in x.shape[2:])
    return resized(x, height, width, align_corners)


def unfold(x: Tensor) -> Tensor:
    """Order (B, C, H, W) by patches: (B, C, P, N), P pixels in each of N patches.

    No step has more than five dimensions, which is what Core ML takes.
    """
    batch, channels, height, width = x.shape
    rows, columns = height // PATCH, width // PATCH
    x = x.reshape(batch * channels, rows, PATCH, columns, PATCH).permute(0, 2, 4, 1, 3)
    return x.reshape(batch, channels, PATCH * PATCH, rows * columns)


def fold(x: Tensor, height: int, width: int) -> Tensor:
    """Undo `unfold`: (B, C, P, N) to (B, C, height, width)."""
    batch, channels = x.shape[:2]
    rows, columns = height // PATCH, width // PATCH
    x = x.reshape(batch * channels, PATCH, PATCH, rows, columns).permute(0, 3, 1, 4, 2)
    return x.reshape(batch, channels, height, width)


# --- MobileViT -------------------------------------------------------------------------------


class Attention(nn.Module):
    """Multi-head self-attention over tokens, 4 heads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape (B, N, C)."""
        return self.proj(attend(self.qkv(tokens), NUM_HEADS))


class MLP(nn.Module):
    """Two layers with SiLU between; linear ones, or 1x1 convolutions on maps."""

    def __init__(self, channels: int, layer: type[nn.Linear] | type[nn.Conv2d]) -> None:
        super().__init__()
        kernel_size = (1,) if layer is nn.Conv2d else ()
        self.fc1 = layer(channels, FFN_RATIO * channels, *kernel_size)
        self.act = nn.SiLU()
        self.fc2 = layer(FFN_RATIO * channels, channels, *kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return self.fc2(self.act(self.fc1(x)))


class TransformerLayer(nn.Module):
    """Self-attention and an MLP, each behind a norm in a residual branch.

    Args:
        channels: Of the tokens.
        linear: Separable self-attention on (B, C, P, N), as v2 has it, in place of multi-head
            self-attention on (B, N, C).
        dropout: Share of the branches' values that training sets to 0.
    """

    def __init__(self, channels: int, linear: bool, dropout: float) -> None:
        super().__init__()
        self.norm1 = _token_norm(channels, linear)
        self.attn = SeparableAttention(channels) if linear else Attention(channels)
        self.norm2 = _token_norm(channels, linear)
        self.mlp = MLP(channels, nn.Conv2d if linear else nn.Linear)
        self.dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                init_linear(module)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        x = x + self.dropout(self.attn(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))


def _token_norm(channels: int, linear: bool) -> nn.Module:
    return nn.GroupNorm(1, channels) if linear else nn.LayerNorm(channels)


class MobileViTBlock(nn.Module):
    """Local features by a convolution, global ones by attention among equal pixels of patches.

    Where the size is odd the tokens come from a map resized up to an even one, and go back.
    """

    def __init__(
        self,
        channels: int,
        transformer_dim: int,
        depth: int,
        norm_cfg: str | dict,
        dilation: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.conv_kxk = ConvNormAct(channels, channels, 3, norm_cfg, dilation=dilation)
        self.conv_1x1 = nn.Conv2d(channels, transformer_dim, 1, bias=False)
        layers = (TransformerLayer(transformer_dim, False, dropout) for _ in range(depth))
        self.transformer = nn.Sequential(*layers)
        self.norm = _token_norm(transformer_dim, linear=False)
        self.conv_proj = ConvNormAct(transformer_dim, channels, 1, norm_cfg)
        self.conv_fusion = ConvNormAct(2 * channels, channels, 3, norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        y = self.conv_1x1(self.conv_kxk(x))
        y = resized_to_patches(y, align_corners=False)
        batch, channels, height, width = y.shape
        tokens = unfold(y).permute(0, 2, 3, 1).reshape(batch * PATCH**2, -1, channels)
        tokens = self.norm(self.transformer(tokens))
        patches = tokens.reshape(batch, PATCH**2, -1, channels).permute(0, 3, 1, 2)
        y = resized(fold(patches, height, width), x.shape[2], x.shape[3], align_corners=False)
        return self.conv_fusion(torch.cat((x, self.conv_proj(y)), 1))


# --- MobileViTv2 -----------------------------------------------------------------------------


class SeparableAttention(nn.Module):
    """Self-attention of linear cost: one context vector for all tokens (paper section 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.qkv_proj = nn.Conv2d(channels, 1 + 2 * channels, 1)
        self.out_proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, P, N); the context is taken over the patches N."""
        query, key, value = self.qkv_proj(x).split((1, self.channels, self.channels), 1)
        context = (key * query.softmax(-1)).sum(-1, keepdim=True)
        return self.out_proj(value.relu() * context)


class MobileViTv2Block(nn.Module):
    """A depthwise convolution, then separable self-attention; without shortcut and fusion.

    A map of odd size is resized up to an even one, and the output keeps that size.
    """

    def __init__(
        self,
        channels: int,
        transformer_dim: int,
        depth: int,
        norm_cfg: str | dict,
        dilation: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.conv_kxk = ConvNormAct(
            channels, channels, 3, norm_cfg, groups=channels, dilation=dilation
        )
        self.conv_1x1 = nn.Conv2d(channels, transformer_dim, 1, bias=False)
        layers = (TransformerLayer(transformer_dim, True, dropout) for _ in range(depth))
        self.transformer = nn.Sequential(*layers)
        self.norm = _token_norm(transformer_dim, linear=True)
        self.conv_proj = ConvNormAct(transformer_dim, channels, 1, norm_cfg, use_act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape, odd sizes rounded up to even ones."""
        x = resized_to_patches(x, align_corners=True)
        tokens = unfold(self.conv_1x1(self.conv_kxk(x)))
        tokens = self.norm(self.transformer(tokens))
        return self.conv_proj(fold(tokens, x.shape[2], x.shape[3]))
