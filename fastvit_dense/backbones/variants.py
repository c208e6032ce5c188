"""The variants of FastViT as data."""

from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True)
class Variant:
    """One FastViT as data: all that distinguishes it from another.

    Attributes:
        layers: Blocks per stage.
        embed_dims: Channels per stage.
        mlp_ratio: Hidden channels of the ConvFFN over its input channels.
        mixers: Token mixer per stage: R RepMixer, A self-attention.
        layer_scale_init: Initial value of every layer scale.
        lkc_use_act: GELU after the large-kernel convolution of the downsampling.
        se_stages: Stages entered through a downsampling with squeeze-excite.
        stem_use_scale_branch: 1x1 branches in the stem.
        attention_norm: 'BN' or 'LN', the norm before attention.
    """

    layers: tuple[int, ...]
    embed_dims: tuple[int, ...]
    mlp_ratio: int
    mixers: str
    layer_scale_init: float = 1e-5
    lkc_use_act: bool = False
    se_stages: tuple[int, ...] = ()
    stem_use_scale_branch: bool = True
    attention_norm: str = 'BN'


_mci = partial(Variant, mlp_ratio=3, mixers='RRRA', lkc_use_act=True, se_stages=(2, 3))
_mci_large = partial(
    Variant,
    mlp_ratio=4,
    mixers='RRRAA',
    lkc_use_act=True,
    stem_use_scale_branch=False,
    attention_norm='LN',
)
VARIANTS = {
    't8': Variant((2, 2, 4, 2), (48, 96, 192, 384), 3, 'RRRR'),
    't12': Variant((2, 2, 6, 2), (64, 128, 256, 512), 3, 'RRRR'),
    's12': Variant((2, 2, 6, 2), (64, 128, 256, 512), 4, 'RRRR'),
    'sa12': Variant((2, 2, 6, 2), (64, 128, 256, 512), 4, 'RRRA'),
    'sa24': Variant((4, 4, 12, 4), (64, 128, 256, 512), 4, 'RRRA'),
    'sa36': Variant((6, 6, 18, 6), (64, 128, 256, 512), 4, 'RRRA', layer_scale_init=1e-6),
    'ma36': Variant((6, 6, 18, 6), (76, 152, 304, 608), 4, 'RRRA', layer_scale_init=1e-6),
    'mci0': _mci((2, 6, 10, 2), (64, 128, 256, 512)),
    'mci1': _mci((4, 12, 20, 4), (64, 128, 256, 512)),
    'mci2': _mci((4, 12, 24, 4), (80, 160, 320, 640)),
    'mci3': _mci_large((2, 12, 24, 4, 2), (96, 192, 384, 768, 1536)),
    'mci4': _mci_large((2, 12, 24, 4, 4), (128, 256, 512, 1024, 2048)),
}
VARIANTS['hd'] = VARIANTS['mci3']  # FastViTHD, the vision tower of FastVLM
