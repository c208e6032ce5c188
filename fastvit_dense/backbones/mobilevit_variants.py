"""The variants of MobileViT and MobileViTv2 as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MobileViTVariant:
    """One MobileViT as data: all that distinguishes it from another.

    Attributes:
        stem: Channels of the stem.
        channels: Channels per stage.
        transformer_dims: Channels of the tokens in the last three stages.
        expansion: Hidden channels of the inverted residuals over their input channels.
        blocks: Inverted residuals in the first two stages.
        linear: Separable self-attention of linear cost (v2) in place of multi-head (v1).
    """

    stem: int
    channels: tuple[int, ...]
    transformer_dims: tuple[int, ...]
    expansion: int
    blocks: tuple[int, int]
    linear: bool = False


TRANSFORMER_DEPTHS = (2, 4, 3)  # of the last three stages, in every variant


def _second(width: float) -> MobileViTVariant:
    """MobileViTv2 of a width (arXiv 2206.02680, Table 2)."""
    channels = tuple(int(width * base) for base in (64, 128, 256, 384, 512))
    dims = tuple(count // 2 for count in channels[2:])
    return MobileViTVariant(int(width * 32), channels, dims, 2, (1, 2), linear=True)


MOBILEVIT_VARIANTS = {  # v1: arXiv 2110.02178, Table 4
    'xxs': MobileViTVariant(16, (16, 24, 48, 64, 80), (64, 80, 96), 2, (1, 3)),
    'xs': MobileViTVariant(16, (32, 48, 64, 80, 96), (96, 120, 144), 4, (1, 3)),
    's': MobileViTVariant(16, (32, 64, 96, 128, 160), (144, 192, 240), 4, (1, 3)),
    **{str(width): _second(width) for width in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)},
}
