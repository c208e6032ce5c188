"""MetaFormer-S12 (arXiv 2111.11418) with a choice of token mixer, for one comparison.

With pooling it is PoolFormer-S12. The FastViT paper's Figure 3 replaces the pooling by RepMixer
and leaves everything else.
"""

import torch
from torch import Tensor, nn

from fastvit_dense.backbones.blocks import RepMixer

LAYERS = (2, 2, 6, 2)
CHANNELS = (64, 128, 320, 512)
MLP_RATIO = 4
LAYER_SCALE_INIT = 1e-5
MIXERS = ('pooling', 'repmixer')


class Pooling(nn.Module):
    """Token mixing by pooling: `x + g * (pool(n) - n)` with n the normalised x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), LAYER_SCALE_INIT))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        normed = self.norm(x)
        return x + self.layer_scale * (self.pool(normed) - normed)


class ChannelMLP(nn.Module):
    """Two 1x1 convolutions in a residual branch: `x + g * fc2(gelu(fc1(norm(x))))`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.fc1 = nn.Conv2d(channels, MLP_RATIO * channels, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(MLP_RATIO * channels, channels, 1)
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), LAYER_SCALE_INIT))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        return x + self.layer_scale * self.fc2(self.act(self.fc1(self.norm(x))))


class MetaFormer(nn.Module):
    """Four stages at strides 4, 8, 16, 32 of blocks token mixer, channel MLP; no classifier.

    Args:
        mixer: 'pooling', or 'repmixer', which `reparameterize` folds to one depthwise convolution.
    """

    def __init__(self, mixer: str) -> None:
        super().__init__()
        if mixer not in MIXERS:
            raise ValueError(f'unknown token mixer {mixer!r}, expected one of {", ".join(MIXERS)}')
        stages, before = [], 3
        for index, (layers, channels) in enumerate(zip(LAYERS, CHANNELS, strict=True)):
            size, stride, padding = (3, 2, 1) if index else (7, 4, 2)
            blocks = [nn.Conv2d(before, channels, size, stride=stride, padding=padding)]
            for _ in range(layers):
                if mixer == 'pooling':
                    blocks.append(Pooling(channels))
                else:
                    blocks.append(RepMixer(channels, LAYER_SCALE_INIT, 'BN'))
                blocks.append(ChannelMLP(channels))
            stages.append(nn.Sequential(*blocks))
            before = channels
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to the outputs of the stages."""
        outputs = []
        for stage in self.stages:
            images = stage(images)
            outputs.append(images)
        return tuple(outputs)
