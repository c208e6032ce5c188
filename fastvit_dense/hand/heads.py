"""Heads that turn feature maps into MANO parameters and a camera.

Rotations leave the heads as 6D (two rows, PyTorch3D's order) added to a starting point: the hand
mean for the fingers, the identity for the whole hand. The hand mean comes from the MANO layer at
run time and never enters a checkpoint.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional

from .camera import ROOT, TYPICAL_SCALE, weak_project
from .mano import FREIHAND_ORDER, Mano
from .rotations import rotation_6d_to_matrix

NUM_ROTATIONS = 16
NUM_BETAS = 10
NUM_KEYPOINTS = 21
NUM_NUMBERS = 6 * NUM_ROTATIONS + NUM_BETAS + 3
# Which of MANO's joints stands for each token: a fingertip has its last joint's, the global token
# the wrist's.
JOINT_OF_TOKEN = [
    joint if joint < NUM_ROTATIONS else FREIHAND_ORDER[k - 1]
    for k, joint in enumerate(FREIHAND_ORDER)
] + [0]


class HandParameters(NamedTuple):
    """Prediction of a head.

    Attributes:
        global_orient: (B, 3, 3) rotation of the whole hand, camera frame.
        hand_pose: (B, 15, 3, 3) full rotations in MANO's order.
        betas: (B, 10).
        camera: (B, 3) s > 0, tx, ty; see `camera.py`.
        keypoints: (B, 21, 2) joints in the image, -1 to 1, where a head finds them directly.
    """

    global_orient: Tensor
    hand_pose: Tensor
    betas: Tensor
    camera: Tensor
    keypoints: Tensor | None = None


def decode(numbers: Tensor, mano: Mano) -> HandParameters:
    """Hand parameters from a network's raw numbers, all 0 at the starting point.

    Args:
        numbers: (B, 109): 16 x 6 added to the 6D of the identity and of the hand mean, 10 betas,
            logarithm of s over its typical value, tx, ty.
        mano: Whose hand mean to start from.
    """
    rotations, betas, scale, place = numbers.float().split([6 * NUM_ROTATIONS, NUM_BETAS, 1, 2], 1)
    identity = torch.eye(3, device=numbers.device)[None]
    start = torch.cat([identity, mano.mean_pose])[:, :2].flatten(1)
    matrices = rotation_6d_to_matrix(rotations.reshape(-1, NUM_ROTATIONS, 6) + start)
    scale = TYPICAL_SCALE * (3 * torch.tanh(scale / 3)).exp()  # within a factor of 20
    return HandParameters(matrices[:, 0], matrices[:, 1:], betas, torch.cat([scale, place], dim=1))


@MODELS.register_module()
class ManoHead(BaseModule):
    """The paper's kind of head: pooled feature to camera, pose and shape, by iterative feedback.

    FastViT's paper (section 4.3) names "a simple regression module that regresses weak perspective
    camera, pose and shape parameters"; form and training are ours. Iterative error feedback as in
    HMR (Kanazawa et al., CVPR 2018): each step sees the feature and the current estimate.

    Args:
        in_channels: Channels of the last feature map.
        hidden_channels: Of the two hidden layers.
        num_steps: Of feedback, with shared weights.
        dropout: After each hidden layer.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 1024,
        num_steps: int = 3,
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_steps = num_steps
        self.layers = nn.Sequential(
            nn.Linear(in_channels + NUM_NUMBERS, hidden_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden_channels, hidden_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.step = nn.Linear(hidden_channels, NUM_NUMBERS)

    def init_weights(self) -> None:
        """Start near the mean hand."""
        super().init_weights()
        nn.init.xavier_uniform_(self.step.weight, gain=0.01)
        nn.init.zeros_(self.step.bias)

    def forward(self, features: tuple[Tensor, ...], mano: Mano) -> list[HandParameters]:
        """Predict.

        Args:
            features: The last one, (B, in_channels, H, W), is used.
            mano: The hand layer, for its mean pose.

        Returns:
            One stage.
        """
        return [decode(self.numbers(features), mano)]

    def numbers(self, features: tuple[Tensor, ...]) -> Tensor:
        """The raw numbers (B, 109) that `decode` takes; nothing of MANO is in them."""
        pooled = features[-1].mean((2, 3))
        numbers = pooled.new_zeros(pooled.shape[0], NUM_NUMBERS)
        for _ in range(self.num_steps):
            numbers = numbers + self.step(self.layers(torch.cat([pooled, numbers], dim=1)))
        return numbers


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and MLP over tokens (B, N, C)."""

    def __init__(self, channels: int, num_heads: int, mlp_ratio: int = 2) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_ratio * channels),
            nn.GELU(),
            nn.Linear(mlp_ratio * channels, channels),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C) to tokens (B, N, C)."""
        qkv = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        tokens = tokens + self.proj(mixed.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.norm2(tokens))


class SoftArgmax(nn.Module):
    """Places of keypoints as the means of heat maps (Sun et al., "Integral Human Pose", 2018)."""

    def __init__(self, in_channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.heat = nn.Conv2d(in_channels, num_keypoints, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) to (B, num_keypoints, 2), x and y, -1 to 1 from edge to edge."""
        height, width = features.shape[2:]
        heat = self.heat(features).float().flatten(2).softmax(-1).unflatten(2, (height, width))
        x = (torch.arange(width, dtype=heat.dtype, device=heat.device) + 0.5) / width * 2 - 1
        y = (torch.arange(height, dtype=heat.dtype, device=heat.device) + 0.5) / height * 2 - 1
        return torch.stack([(heat.sum(2) * x).sum(-1), (heat.sum(3) * y).sum(-1)], dim=-1)


def sample(features: Tensor, places: Tensor) -> Tensor:
    """Features (B, C, H, W) at places (B, N, 2), -1 to 1: (B, N, C); no gradient to the places."""
    grid = places.detach().to(features.dtype)[:, :, None]
    found = functional.grid_sample(features, grid, align_corners=False)
    return found[..., 0].transpose(1, 2)


class FineMap(nn.Module):
    """One map at the finest input's size from several stages, by a top-down path (FPN, 2017).

    Args:
        in_channels: Channels of the maps, finest first, each half the size of the one before.
        channels: Of the result.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, channels, 1, bias=False), nn.BatchNorm2d(channels))
            for c in in_channels
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, in_channels[i], H_i, W_i) to (B, channels, H_0, W_0)."""
        maps = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        merged = maps[-1]
        for finer in reversed(maps[:-1]):
            merged = finer + functional.interpolate(merged, size=finer.shape[2:])
        return self.fuse(merged)


class Readout(nn.Module):
    """Tokens (B, N, C) to the raw numbers (B, 109) of `decode`.

    Each token has its own linear map and their mean is taken, which keeps steps of Adam as small
    as those of a map from one token.
    """

    def __init__(self, num_tokens: int, channels: int) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(num_tokens * channels, NUM_NUMBERS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Read the numbers."""
        return self.linear(self.norm(tokens).flatten(1)) / self.num_tokens


@MODELS.register_module()
class ManoTokenHead(BaseModule):
    """Joint-guided tokens from a fine map, a small transformer, one projection-guided correction.

    1. The pooled last stage gives a first guess of all numbers, as in `ManoHead`, and a global
       token.
    2. 21 keypoints by soft-argmax on a fine map (stride 8); the features there become joint tokens
       (the idea of simpleHand and TokenHand). After self-attention all tokens together correct the
       guess. The root's place in the image starts at its keypoint.
    3. The hand so found is projected into the map; the features at its vertices, averaged over
       each joint's skinning weights, are added to the joints' tokens, and one more block corrects
       once more (the idea of WiLoR's refinement).

    Args:
        in_channels: Channels of the backbone's maps, finest first (strides 8, 16, 32).
        channels: Of the fine map and of the tokens.
        hidden_channels: Of the first guess.
        num_blocks: Attention blocks of step 2; step 3 has one more.
        num_heads: Of attention.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (128, 256, 512),
        channels: int = 256,
        hidden_channels: int = 1024,
        num_blocks: int = 2,
        num_heads: int = 8,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        num_tokens = NUM_KEYPOINTS + 1
        self.fine_map = FineMap(in_channels, channels)
        self.guess = nn.Sequential(
            nn.Linear(in_channels[-1], hidden_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, NUM_NUMBERS),
        )
        self.keypoints = SoftArgmax(channels, NUM_KEYPOINTS)
        self.place_embed = nn.Linear(2, channels)
        self.global_embed = nn.Linear(in_channels[-1], channels)
        self.token_embed = nn.Parameter(torch.zeros(num_tokens, channels))
        self.blocks = nn.Sequential(
            *(AttentionBlock(channels, num_heads) for _ in range(num_blocks))
        )
        self.correct = Readout(num_tokens, channels)
        self.part_embed = nn.Linear(channels, channels)
        self.last_block = AttentionBlock(channels, num_heads)
        self.correct_again = Readout(num_tokens, channels)

    def init_weights(self) -> None:
        """Start near the mean hand, with nearly no corrections."""
        super().init_weights()
        nn.init.trunc_normal_(self.token_embed, std=0.02)
        for linear in (self.guess[-1], self.correct.linear, self.correct_again.linear):
            assert isinstance(linear, nn.Linear)
            nn.init.xavier_uniform_(linear.weight, gain=0.01)
            nn.init.zeros_(linear.bias)

    def forward(self, features: tuple[Tensor, ...], mano: Mano) -> list[HandParameters]:
        """Predict.

        Args:
            features: (B, in_channels[i], H_i, W_i), finest first.
            mano: The hand layer, for its mean pose, surface and skinning weights.

        Returns:
            Two stages: before and after the last correction.
        """
        fine = self.fine_map(features)
        pooled = features[-1].mean((2, 3))
        keypoints = self.keypoints(fine)
        tokens = sample(fine, keypoints) + self.place_embed(keypoints.detach())
        tokens = torch.cat([tokens, self.global_embed(pooled)[:, None]], dim=1)
        tokens = self.blocks(tokens + self.token_embed)
        root_place = functional.pad(keypoints[:, ROOT], (NUM_NUMBERS - 2, 0))
        numbers = self.guess(pooled) + self.correct(tokens) + root_place
        first = decode(numbers, mano)

        tokens = self.last_block(tokens + self._look_again(fine, first, mano))
        second = decode(numbers + self.correct_again(tokens), mano)
        return [stage._replace(keypoints=keypoints) for stage in (first, second)]

    def _look_again(self, fine: Tensor, hand: HandParameters, mano: Mano) -> Tensor:
        """(B, 22, C) to add to the tokens: what the image shows where the hand was found."""
        with torch.no_grad():
            out = mano(hand.global_orient, hand.hand_pose, hand.betas)
            places = weak_project(out.vertices - out.joints[:, ROOT, None], hand.camera)
            share = (mano.weights / mano.weights.sum(0)).T  # (16, 778), each joint's vertices
        seen = share.to(fine.dtype) @ sample(fine, places)
        parts = self.part_embed(seen) + self.place_embed(share @ places)
        return parts[:, JOINT_OF_TOKEN]
