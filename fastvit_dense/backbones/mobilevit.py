"""MobileViT (arXiv 2110.02178) and MobileViTv2 (arXiv 2206.02680) for dense prediction.

The last stage's output is taken before the 1x1 expansion of the classifier.
"""

from collections.abc import Sequence

from mmengine.registry import MODELS
from torch import nn

from .arguments import check_arch, check_choice, check_share, check_switches
from .base import StagedBackbone
from .mobilevit_blocks import ConvNormAct, InvertedResidual, MobileViTBlock, MobileViTv2Block
from .mobilevit_variants import MOBILEVIT_VARIANTS, TRANSFORMER_DEPTHS, MobileViTVariant
from .recompute import Blocks
from .reparam import reparameterize

_STRIDES = (2, 4, 8, 16, 32)
# of an output stride: the dilations of the last two stages, of their downsampling and their block
_DILATIONS = {32: ((1, 1), (1, 1)), 16: ((1, 1), (1, 2)), 8: ((1, 2), (2, 4))}


@MODELS.register_module()
class MobileViT(StagedBackbone):
    """MobileViT without its classifier: feature maps at strides 2, 4, 8, 16, 32.

    It takes RGB of 0-1: no mean is subtracted, so a data preprocessor for it has mean 0 and
    deviation 255. Files of networks that take BGR are turned round on loading.

    The second version (arch '0.5' to '2.0') rounds the sizes of its last three stages up to even
    ones, as the original does: an image of 72 x 72 gives maps of 36, 18, 10, 6 and 4. Sizes that
    are multiples of 64 stay exact.

    Args:
        arch: 'xxs', 'xs', 's', or for MobileViTv2 its width: '0.5', '0.75', '1.0', '1.25', '1.5',
            '1.75', '2.0'.
        out_indices: Increasing stage numbers to return, 0 to 4. Later stages are not built.
        output_stride: Stride of the last stage, 32, 16 or 8; dilated convolutions take the place
            of the strides that are left out.
        block_dilation: Dilate the 3x3 convolutions of the transformer blocks, too, as timm does.
            The original's first version has none there, nor have its published dense weights.
        out_norm: Norm on each output, a registered type name ('BN', 'SyncBN', 'LN') or a config
            dict; None for raw features. These norms are new parameters, in no published file.
        norm_cfg: Every BatchNorm inside: type name or config dict of a BatchNorm type. Norms of
            tokens are not concerned.
        dropout: Share of the attention's and the MLP's outputs that training sets to 0,
            0 <= share < 1. The original trains the first version with 0.1, the second with 0.
        norm_eval: Keep every BatchNorm in eval mode while training, output norms included.
        frozen_stages: -1 nothing, 0 the stem, k the stem and the first k stages: no gradients,
            and their BatchNorms in eval mode.
        reparameterized: Build the folded form, with the keys that `reparameterize` yields.
        with_cp: Recompute the blocks in the backward pass to save memory.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` loads through `load_pretrained`: all
            of the backbone or an error. Other types are applied as mmengine does.

    Attributes:
        out_channels: Channels of each output.
        out_strides: Stride of each output with regard to the image.

    Raises:
        ValueError: An argument out of its range; the message names what is possible.
    """

    stem: ConvNormAct

    def __init__(
        self,
        arch: str = 's',
        out_indices: Sequence[int] = (1, 2, 3, 4),
        output_stride: int = 32,
        block_dilation: bool = True,
        out_norm: str | dict | None = None,
        norm_cfg: str | dict = 'BN',
        dropout: float = 0.0,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        reparameterized: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_arch(arch, MOBILEVIT_VARIANTS)
        check_choice('output_stride', output_stride, tuple(_DILATIONS))
        check_share('dropout', dropout, 'share')
        check_switches(
            block_dilation=block_dilation, reparameterized=reparameterized, with_cp=with_cp
        )
        super().__init__(
            arch, len(_STRIDES), out_indices, norm_cfg, norm_eval, frozen_stages, init_cfg
        )
        variant = MOBILEVIT_VARIANTS[arch]
        self.out_channels = tuple(variant.channels[i] for i in self.out_indices)
        self.out_strides = tuple(min(_STRIDES[i], output_stride) for i in self.out_indices)
        self.stem = ConvNormAct(3, variant.stem, 3, norm_cfg, stride=2)
        self.stages = nn.ModuleList(
            Blocks(
                _stage_blocks(variant, i, output_stride, block_dilation, norm_cfg, dropout), with_cp
            )
            for i in range(self.out_indices[-1] + 1)
        )
        self.add_output_norms(out_norm)
        if reparameterized:
            reparameterize(self.eval())
        self.train()

    def folded_first_conv(self) -> nn.Conv2d | None:
        """Return the stem's convolution, None where it is not folded yet."""
        return self.stem.conv if self.stem.bn is None else None


def _stage_blocks(
    variant: MobileViTVariant,
    index: int,
    output_stride: int,
    block_dilation: bool,
    norm_cfg: str | dict,
    dropout: float,
) -> list[nn.Module]:
    """Build the blocks of stage `index`."""
    in_channels = variant.channels[index - 1] if index else variant.stem
    channels = variant.channels[index]
    first, second = _DILATIONS[output_stride][index - 3] if index > 2 else (1, 1)
    stride = 2 if index and _STRIDES[index] <= output_stride else 1
    blocks: list[nn.Module] = [
        InvertedResidual(in_channels, channels, variant.expansion, norm_cfg, stride, first)
    ]
    if index < 2:
        for _ in range(variant.blocks[index] - 1):
            blocks.append(InvertedResidual(channels, channels, variant.expansion, norm_cfg))
        return blocks
    block = MobileViTv2Block if variant.linear else MobileViTBlock
    dim, depth = variant.transformer_dims[index - 2], TRANSFORMER_DEPTHS[index - 2]
    dilation = second if block_dilation else 1
    return [*blocks, block(channels, dim, depth, norm_cfg, dilation, dropout)]
