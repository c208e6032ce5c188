"""Heads that turn feature maps into MANO parameters and a camera.

Rotations leave the heads as 6D (two rows, PyTorch3D's order) added to a starting point: the hand
mean for the fingers, the identity for the whole hand. The hand mean comes from the MANO layer at
run time and never enters a checkpoint.
"""

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
# Which of FreiHAND's joints is each of MANO's 16; and which of MANO's stands for each token: a
# fingertip has its last joint's, the global token the wrist's.
KEYPOINT_OF_JOINT = [FREIHAND_ORDER.index(joint) for joint in range(NUM_ROTATIONS)]
JOINT_OF_TOKEN = [
    joint if joint < NUM_ROTATIONS else FREIHAND_ORDER[k - 1]
    for k, joint in enumerate(FREIHAND_ORDER)
] + [0]


class HandParameters(NamedTuple):
    """What a head predicts.

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


def decode(rotations: Tensor, betas: Tensor, camera: Tensor, mano: Mano) -> HandParameters:
    """Hand parameters from a network's raw numbers, all 0 at the starting point.

    Args:
        rotations: (B, 96) or (B, 16, 6) added to the 6D of the identity and of the hand mean.
        betas: (B, 10).
        camera: (B, 3) logarithm of s over its typical value, tx, ty.
        mano: whose hand mean to start from.
    """
    start = torch.cat([torch.eye(3, device=betas.device)[None], mano.mean_pose])[:, :2].flatten(1)
    matrices = rotation_6d_to_matrix(rotations.reshape(-1, NUM_ROTATIONS, 6).float() + start)
    camera = camera.float()
    scale = TYPICAL_SCALE * camera[:, :1].clamp(-3, 3).exp()
    return HandParameters(
        matrices[:, 0], matrices[:, 1:], betas.float(), torch.cat([scale, camera[:, 1:]], dim=1)
    )


@MODELS.register_module()
class ManoHead(BaseModule):
    """The paper's kind of head: pooled feature to camera, pose and shape, by iterative feedback.

    FastViT's paper (section 4.3) names "a simple regression module that regresses weak perspective
    camera, pose and shape parameters"; form and training are ours. Iterative error feedback as in
    HMR (Kanazawa et al., CVPR 2018): each step sees the feature and the current estimate.

    Args:
        in_channels: channels of the last feature map.
        hidden_channels: of the two hidden layers.
        num_steps: of feedback, with shared weights.
        dropout: after each hidden layer.
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
        num_numbers = NUM_ROTATIONS * 6 + NUM_BETAS + 3
        self.layers = nn.Sequential(
            nn.Linear(in_channels + num_numbers, hidden_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden_channels, hidden_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.step = nn.Linear(hidden_channels, num_numbers)

    def init_weights(self) -> None:
        """Start near the mean hand."""
        super().init_weights()
        nn.init.xavier_uniform_(self.step.weight, gain=0.01)
        nn.init.zeros_(self.step.bias)

    def forward(self, features: tuple[Tensor, ...], mano: Mano) -> list[HandParameters]:
        """Predict.

        Args:
            features: the last one, (B, in_channels, H, W), is used.
            mano: the hand layer, for its mean pose.

        Returns:
            One stage.
        """
        pooled = features[-1].mean((2, 3))
        numbers = pooled.new_zeros(len(pooled), NUM_ROTATIONS * 6 + NUM_BETAS + 3)
        for _ in range(self.num_steps):
            numbers = numbers + self.step(self.layers(torch.cat([pooled, numbers], dim=1)))
        rotations, betas, camera = numbers.split([NUM_ROTATIONS * 6, NUM_BETAS, 3], dim=1)
        return [decode(rotations, betas, camera, mano)]


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


@MODELS.register_module()
class ManoTokenHead(BaseModule):
    """Joint-guided tokens from a fine map, a small transformer, one projection-guided correction.

    1. 21 keypoints by soft-argmax on the finest map; the features there become joint tokens, the
       pooled coarser maps a global token (the idea of simpleHand and TokenHand).
    2. Self-attention; each joint's own token gives its rotation, the wrist's the global one, the
       global token betas and camera. The root's place in the image starts at its keypoint.
    3. The hand so found is projected into the map; the features at its vertices, averaged over
       each joint's skinning weights, are added to the joints' tokens, and a further block predicts
       corrections (the idea of WiLoR's refinement).

    Args:
        in_channels: channels of the maps, finest first (an FPN's output: stride 8 to 32).
        embed_dims: channels of the tokens.
        num_blocks: attention blocks of step 2; step 3 has one more.
        num_heads: of attention.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_channels: int = 256,
        embed_dims: int = 256,
        num_blocks: int = 3,
        num_heads: int = 8,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.keypoints = SoftArgmax(in_channels, NUM_KEYPOINTS)
        self.joint_embed = nn.Linear(in_channels, embed_dims)
        self.place_embed = nn.Linear(2, embed_dims)
        self.global_embed = nn.Linear(in_channels, embed_dims)
        self.token_embed = nn.Parameter(torch.zeros(NUM_KEYPOINTS + 1, embed_dims))
        self.blocks = nn.Sequential(
            *(AttentionBlock(embed_dims, num_heads) for _ in range(num_blocks))
        )
        self.predict = ParameterLayers(embed_dims)
        self.part_embed = nn.Linear(in_channels, embed_dims)
        self.part_place_embed = nn.Linear(2, embed_dims)
        self.refine_block = AttentionBlock(embed_dims, num_heads)
        self.correct = ParameterLayers(embed_dims)

    def init_weights(self) -> None:
        """Start near the mean hand, with no correction."""
        super().init_weights()
        nn.init.trunc_normal_(self.token_embed, std=0.02)
        nn.init.normal_(self.keypoints.heat.weight, std=0.01)
        for layers in (self.predict, self.correct):
            layers.start_small()

    def forward(self, features: tuple[Tensor, ...], mano: Mano) -> list[HandParameters]:
        """Predict.

        Args:
            features: two or more (B, in_channels, H, W), finest first.
            mano: the hand layer, for its mean pose, surface and skinning weights.

        Returns:
            Two stages: before and after the correction.
        """
        fine = features[0]
        pooled = sum(coarse.mean((2, 3)) for coarse in features[1:])
        keypoints = self.keypoints(fine)
        joints = self.joint_embed(sample(fine, keypoints)) + self.place_embed(keypoints.detach())
        whole = self.global_embed(pooled)[:, None]
        tokens = self.blocks(torch.cat([joints, whole], dim=1) + self.token_embed)

        rotations, betas, camera = self.predict(tokens)
        camera = torch.cat([camera[:, :1], camera[:, 1:] + keypoints[:, ROOT]], dim=1)
        first = decode(rotations, betas, camera, mano)

        tokens = tokens + self._look_again(fine, first, mano)
        changes = self.correct(self.refine_block(tokens))
        second = decode(
            *(old + new for old, new in zip((rotations, betas, camera), changes, strict=True)), mano
        )
        return [stage._replace(keypoints=keypoints) for stage in (first, second)]

    def _look_again(self, features: Tensor, hand: HandParameters, mano: Mano) -> Tensor:
        """(B, 22, C) to add to the tokens: what the image shows where the hand was found."""
        with torch.no_grad():
            out = mano(hand.global_orient, hand.hand_pose, hand.betas)
            root = out.joints[:, ROOT, None]
            places = weak_project(out.vertices - root, hand.camera)
            share = mano.weights / mano.weights.sum(0)  # (778, 16), per joint
        seen = share.T.to(features.dtype) @ sample(features, places)
        parts = self.part_embed(seen) + self.part_place_embed(share.T @ places)
        return parts[:, JOINT_OF_TOKEN]


class ParameterLayers(nn.Module):
    """Linear layers from tokens (B, 22, C) to raw rotations (B, 16, 6), betas and camera."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.rotations = nn.Linear(channels, 6)
        self.betas = nn.Linear(channels, NUM_BETAS)
        self.camera = nn.Linear(channels, 3)

    def start_small(self) -> None:
        """Predict nearly nothing at first."""
        for layer in (self.rotations, self.betas, self.camera):
            nn.init.xavier_uniform_(layer.weight, gain=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw numbers for `decode`."""
        tokens = self.norm(tokens)
        rotations = self.rotations(tokens[:, KEYPOINT_OF_JOINT])
        return rotations, self.betas(tokens[:, -1]), self.camera(tokens[:, -1])
