"""The convolutions of FastViT whose branches fold into one (arXiv 2303.14189, section 3).

Submodules carry the names of the published files. What a block does not have, or no longer has
once it is folded, is None.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .norms import build_norm
from .reparam import (
    Foldable,
    fold_affine_after,
    folded_conv,
    identity_kernel,
    norm_affine,
    pad_kernel,
    set_folded,
)


class ConvNorm(nn.Module):
    """A convolution without bias and its norm; folded: the convolution alone, with a bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        groups: int,
        norm_cfg: str | dict,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.bn: nn.Module | None = build_norm(norm_cfg, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        stride, kernel_size = self.conv.stride[0], self.conv.kernel_size[0]
        if torch.compiler.is_compiling() and kernel_size == 1 and stride > 1:
            # the same without a stride: compiled, its gradient frees memory twice (torch 2.11, CPU)
            weight, bias = self.conv.weight, self.conv.bias
            x = x[:, :, ::stride, ::stride]
            x = nn.functional.conv2d(x, weight, bias, groups=self.conv.groups)
        else:
            x = self.conv(x)
        return x if self.bn is None else self.bn(x)

    def folded_kernel(self) -> tuple[Tensor, Tensor]:
        """Return float64 weight and bias of the one convolution that does the same."""
        return fold_affine_after(self.conv.weight, None, *norm_affine(self.bn))

    def fold(self) -> None:
        """Fold the norm into the convolution."""
        if self.bn is not None:
            set_folded(self.conv, *self.folded_kernel())
            self.bn = None


class SqueezeExcite(nn.Module):
    """Channel gates from the global mean (arXiv 1709.01507)."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (B, C, H, W) times gates (B, C, 1, 1) in 0-1."""
        gates = self.fc1(x.mean((2, 3), keepdim=True))
        return x * self.fc2(gates.relu()).sigmoid()


class MobileOneBlock(Foldable):
    """Parallel branches k x k convolution, 1x1 convolution and identity, each with a norm.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Of the main branch.
        stride: Of all branches; the identity branch needs 1 and equal channels.
        groups: Of all convolutions.
        norm_cfg: The norm of every branch.
        use_conv: With the k x k branch.
        use_scale_branch: With the 1x1 branch (only beside kernels larger than 1).
        use_identity: With the identity branch where shapes allow it.
        use_act: With a GELU at the end.
    """

    identity: nn.Module | None
    conv_kxk: nn.ModuleList | None
    conv_scale: ConvNorm | None
    reparam_conv: nn.Conv2d | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        *,
        norm_cfg: str | dict,
        use_conv: bool = True,
        use_scale_branch: bool = True,
        use_identity: bool = True,
        use_act: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.groups = kernel_size, stride, groups
        branch = partial(
            ConvNorm, in_channels, out_channels, stride=stride, groups=groups, norm_cfg=norm_cfg
        )
        self.identity = self.conv_kxk = self.conv_scale = self.reparam_conv = None
        if use_identity and in_channels == out_channels and stride == 1:
            self.identity = build_norm(norm_cfg, in_channels)
        if use_conv:  # a list of one: the key names of published files count branches
            self.conv_kxk = nn.ModuleList([branch(kernel_size=kernel_size)])
        if use_scale_branch and kernel_size > 1:
            self.conv_scale = branch(kernel_size=1)
        self.act = nn.GELU() if use_act else nn.Identity()

    def _branches(self) -> Iterator[nn.Module]:
        if self.identity is not None:
            yield self.identity
        if self.conv_kxk is not None:
            yield from self.conv_kxk
        if self.conv_scale is not None:
            yield self.conv_scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        if self.reparam_conv is not None:
            return self.act(self.reparam_conv(x))
        first, *others = self._branches()
        total = first(x)
        for branch in others:
            total = total + branch(x)
        return self.act(total)

    def folded_kernel(self) -> tuple[Tensor, Tensor]:
        """Return float64 weight and bias of the one convolution that does the same."""
        weight = bias = torch.zeros((), dtype=torch.float64)
        for branch in self._branches():
            if isinstance(branch, ConvNorm):
                branch_weight, branch_bias = branch.folded_kernel()
                branch_weight = pad_kernel(branch_weight, self.kernel_size)
            else:
                scale, shift = norm_affine(branch)
                kernel = identity_kernel(len(scale), self.groups, self.kernel_size, scale.device)
                branch_weight, branch_bias = fold_affine_after(kernel, None, scale, shift)
            weight, bias = weight + branch_weight, bias + branch_bias
        return weight, bias

    def fold(self) -> None:
        """Replace the branches by one convolution."""
        if self.reparam_conv is None:
            like = max(self.parameters(), key=Tensor.dim)
            self.reparam_conv = folded_conv(*self.folded_kernel(), self.stride, self.groups, like)
            self.identity = self.conv_kxk = self.conv_scale = None


class LargeKernelConv(Foldable):
    """Grouped 7x7 convolution of stride 2 with a parallel 3x3 branch (paper section 3.3).

    Args:
        in_channels: Input channels, also the number of groups.
        out_channels: Output channels.
        norm_cfg: The norm of both branches.
        use_se: With squeeze-excite.
        use_act: With a GELU at the end.
        kernel_sizes: Of the main branch and, smaller, of the one beside it; of the main branch
            alone: there is no other.
    """

    small_conv: ConvNorm | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm_cfg: str | dict,
        use_se: bool,
        use_act: bool,
        kernel_sizes: Sequence[int] = (7, 3),
    ) -> None:
        super().__init__()
        convs = [
            ConvNorm(in_channels, out_channels, size, 2, in_channels, norm_cfg)
            for size in kernel_sizes
        ]
        self.large_conv = convs[0]
        self.small_conv = convs[1] if len(convs) > 1 else None
        self.reparam_conv: nn.Conv2d | None = None
        self.se = SqueezeExcite(out_channels) if use_se else nn.Identity()
        self.act = nn.GELU() if use_act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / 2), ceil(W / 2))."""
        if self.reparam_conv is not None:
            x = self.reparam_conv(x)
        elif self.small_conv is not None:
            x = self.large_conv(x) + self.small_conv(x)
        else:
            x = self.large_conv(x)
        return self.act(self.se(x))

    def fold(self) -> None:
        """Replace the branches by one convolution of the larger kernel."""
        if self.reparam_conv is None:
            like, groups = self.large_conv.conv.weight, self.large_conv.conv.groups
            weight, bias = self.large_conv.folded_kernel()
            if self.small_conv is not None:
                small_weight, small_bias = self.small_conv.folded_kernel()
                weight = weight + pad_kernel(small_weight, weight.shape[-1])
                bias = bias + small_bias
            self.reparam_conv = folded_conv(weight, bias, 2, groups, like)
            self.register_module('large_conv', None)
            self.small_conv = None


class PatchEmbed(nn.Module):
    """Downsampling between stages: large-kernel convolution of stride 2, then 1x1.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        norm_cfg: The norm of every branch.
        use_se: With squeeze-excite.
        use_act: With a GELU behind the first convolution.
        overparameterized: With the branches beside the main ones.
        large_kernels: A 7x7 kernel with 3x3 beside it, else 3x3 with 1x1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm_cfg: str | dict,
        use_se: bool,
        use_act: bool,
        overparameterized: bool = True,
        large_kernels: bool = True,
    ) -> None:
        super().__init__()
        kernel_sizes = (7, 3) if large_kernels else (3, 1)
        large = LargeKernelConv(
            in_channels,
            out_channels,
            norm_cfg=norm_cfg,
            use_se=use_se,
            use_act=use_act,
            kernel_sizes=kernel_sizes if overparameterized else kernel_sizes[:1],
        )
        pointwise = MobileOneBlock(
            out_channels, out_channels, 1, norm_cfg=norm_cfg, use_identity=overparameterized
        )
        self.proj = nn.Sequential(large, pointwise)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ceil(H / 2), ceil(W / 2))."""
        return self.proj(x)


class ConditionalPosEnc(Foldable):
    """Positional encoding by a depthwise 7x7 convolution added to its input (arXiv 2102.10882)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pos_enc = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.reparam_conv: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        return self.pos_enc(x) + x if self.reparam_conv is None else self.reparam_conv(x)

    def fold(self) -> None:
        """Fold the addition into the convolution."""
        if self.reparam_conv is None:
            weight, bias = self.pos_enc.weight, self.pos_enc.bias
            assert bias is not None
            channels, size = weight.shape[0], weight.shape[-1]
            kernel = weight + identity_kernel(channels, channels, size, weight.device)
            self.reparam_conv = folded_conv(kernel, bias, 1, channels, like=weight)
            self.register_module('pos_enc', None)
