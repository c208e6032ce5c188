"""FastViT (arXiv 2303.14189) and its MCi derivatives as a backbone for dense prediction.

Every stage's output is the true end of that stage: for the attention variants it comes after the
attention blocks, not after the positional encoding before them.
"""

from collections.abc import Sequence
from functools import partial

from mmengine.registry import MODELS
from torch import Tensor, nn

from .arguments import check_arch, check_share, check_switches
from .base import StagedBackbone
from .blocks import AttentionBlock, RepMixerBlock
from .convolutions import ConditionalPosEnc, MobileOneBlock, PatchEmbed
from .recompute import Blocks
from .reparam import reparameterize
from .variants import VARIANTS, Variant


class Stage(nn.Module):
    """Downsampling (all stages but the first), positional encoding (before attention), blocks."""

    def __init__(
        self, downsample: nn.Module, pos_emb: nn.Module, blocks: list[nn.Module], with_cp: bool
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.pos_emb = pos_emb
        self.blocks = Blocks(blocks, with_cp)

    def forward(self, x: Tensor) -> Tensor:
        """Map the output of the stage before to the end of this stage."""
        return self.blocks(self.pos_emb(self.downsample(x)))


@MODELS.register_module()
class FastViT(StagedBackbone):
    """FastViT without its classifier: feature maps at strides 4, 8, 16, 32 (and 64).

    Args:
        arch: 't8', 't12', 's12', 'sa12', 'sa24', 'sa36', 'ma36', 'mci0' ... 'mci4', or 'hd'
            (FastViTHD, the same network as 'mci3').
        out_indices: Increasing stage numbers to return. Stages after the last are not built.
        out_norm: Norm on each output, a registered type name ('BN', 'SyncBN', 'LN') or a config
            dict; None for raw features. These norms are new parameters, in no published file.
        norm_cfg: Every BatchNorm inside: type name or config dict of a BatchNorm type. The
            LayerNorm before attention in 'mci3' and 'mci4' is not concerned.
        drop_path_rate: Stochastic depth of the last block of the variant, 0 <= rate < 1; it
            grows linearly from 0 at the first.
        norm_eval: Keep every BatchNorm in eval mode while training, output norms included.
        frozen_stages: -1 nothing, 0 the stem, k the stem and the first k stages: no gradients,
            and their BatchNorms in eval mode.
        reparameterized: Build the folded form, with the keys that `reparameterize` yields.
        overparameterized: False: one branch per convolution in the train form, as the paper's
            Table 3 compares; its section 3.2 names stem and patch embedding, and the released
            code's RepMixer has such branches, too, which are left out as well. The skip
            connections of RepMixer (section 3.1) stay. The folded form is the same network.
        large_kernels: False: 3x3 depthwise convolutions in place of 7x7 in every ConvFFN and patch
            embedding (there with 1x1 in place of 3x3 beside it), as before the last two rows of
            the paper's Table 1 (section 3.3). The positional encoding stays 7x7. No published
            file fits.
        with_cp: Recompute the blocks in the backward pass to save memory. Gradients and running
            statistics are those of training without it.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` loads through `load_pretrained`: all
            of the backbone or an error. Other types are applied as mmengine does.

    Attributes:
        out_channels: Channels of each output.
        out_strides: Stride of each output with regard to the image.

    Raises:
        ValueError: An argument out of its range; the message names what is possible.
    """

    stem: nn.Sequential

    def __init__(
        self,
        arch: str = 'sa24',
        out_indices: Sequence[int] = (0, 1, 2, 3),
        out_norm: str | dict | None = 'BN',
        norm_cfg: str | dict = 'BN',
        drop_path_rate: float = 0.0,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        reparameterized: bool = False,
        overparameterized: bool = True,
        large_kernels: bool = True,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_arch(arch, VARIANTS)
        variant = VARIANTS[arch]
        super().__init__(
            arch, len(variant.layers), out_indices, norm_cfg, norm_eval, frozen_stages, init_cfg
        )
        check_share('drop_path_rate', drop_path_rate, 'rate')
        check_switches(
            reparameterized=reparameterized,
            overparameterized=overparameterized,
            large_kernels=large_kernels,
            with_cp=with_cp,
        )
        self.out_channels = tuple(variant.embed_dims[i] for i in self.out_indices)
        self.out_strides = tuple(4 * 2**i for i in self.out_indices)

        self.overparameterized, self.large_kernels = overparameterized, large_kernels
        self.stem = _build_stem(variant, norm_cfg, overparameterized)
        depth = sum(variant.layers)
        drop_path_rates = [drop_path_rate * i / (depth - 1) for i in range(depth)]
        settings = dict(overparameterized=overparameterized, large_kernels=large_kernels)
        self.stages = nn.ModuleList(
            _build_stage(variant, i, drop_path_rates, norm_cfg, with_cp, **settings)
            for i in range(self.out_indices[-1] + 1)
        )
        self.add_output_norms(out_norm)
        if reparameterized:
            reparameterize(self.eval())
        self.train()

    def folded_first_conv(self) -> nn.Conv2d | None:
        """Return the stem's first convolution, None where it is not folded yet."""
        first = self.stem[0]
        assert isinstance(first, MobileOneBlock)
        return first.reparam_conv


def _build_stem(variant: Variant, norm_cfg: str | dict, overparameterized: bool) -> nn.Sequential:
    """Build the three MobileOne blocks in front, stride 4 in total."""
    channels = variant.embed_dims[0]
    block = partial(
        MobileOneBlock,
        norm_cfg=norm_cfg,
        use_scale_branch=overparameterized and variant.stem_use_scale_branch,
        use_identity=overparameterized,
    )
    return nn.Sequential(
        block(3, channels, 3, stride=2),
        block(channels, channels, 3, stride=2, groups=channels),
        block(channels, channels, 1),
    )


def _build_stage(
    variant: Variant,
    index: int,
    drop_path_rates: list[float],
    norm_cfg: str | dict,
    with_cp: bool,
    *,
    overparameterized: bool,
    large_kernels: bool,
) -> Stage:
    """Build stage `index`; `drop_path_rates` has one entry per block of the whole network."""
    channels = variant.embed_dims[index]
    downsample: nn.Module = nn.Identity()
    pos_emb: nn.Module = nn.Identity()
    if index > 0:
        downsample = PatchEmbed(
            variant.embed_dims[index - 1],
            channels,
            norm_cfg=norm_cfg,
            use_se=index in variant.se_stages,
            use_act=variant.lkc_use_act,
            overparameterized=overparameterized,
            large_kernels=large_kernels,
        )
    if variant.mixers[index] == 'A':
        pos_emb = ConditionalPosEnc(channels)
    first = sum(variant.layers[:index])
    sizes = channels, channels * variant.mlp_ratio
    ffn_kernel_size = 7 if large_kernels else 3
    blocks: list[nn.Module] = []
    for rate in drop_path_rates[first : first + variant.layers[index]]:
        args = (*sizes, rate, variant.layer_scale_init, norm_cfg, ffn_kernel_size)
        if variant.mixers[index] == 'A':
            norm = 'LN' if variant.attention_norm == 'LN' else norm_cfg
            blocks.append(AttentionBlock(*args, attention_norm_cfg=norm))
        else:
            blocks.append(RepMixerBlock(*args, overparameterized))
    return Stage(downsample, pos_emb, blocks, with_cp)
