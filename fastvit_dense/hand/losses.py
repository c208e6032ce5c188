"""Losses of the hand task. Lengths are metres, image places -1 to 1 from edge to edge.

Weights that make them comparable are those of published recipes as far as there are any; see
`HandMeshLoss`.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from .camera import ROOT


def points_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of coordinates (..., N, D), in their unit.

    For vertices and joints (metres, relative to the root), and for places in the image. METRO and
    simpleHand train meshes with L1.
    """
    return (pred - target).abs().mean()


def rotation_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of the entries of rotation matrices (..., 3, 3).

    No unit. Equals (8 / 9) sin²(angle / 2) for the angle between the two: smooth everywhere, unlike
    the angle itself. SPIN and HMR train rotations this way.
    """
    return (pred - target).square().mean()


def shape_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of betas (B, 10), in standard deviations squared (HMR)."""
    return (pred - target).square().mean()


def edge_loss(pred: Tensor, target: Tensor, faces: Tensor) -> Tensor:
    """Mean absolute difference of the lengths of the triangles' sides, metres (Pose2Mesh, I2L).

    Args:
        pred: (B, V, 3) vertices.
        target: (B, V, 3) vertices.
        faces: (F, 3).
    """
    return (_sides(pred, faces).norm(dim=-1) - _sides(target, faces).norm(dim=-1)).abs().mean()


def normal_loss(pred: Tensor, target: Tensor, faces: Tensor) -> Tensor:
    """Mean |cosine| between the predicted triangles' sides and the true normals, no unit (I2L)."""
    sides = nn.functional.normalize(_sides(pred, faces), dim=-1)  # (B, F, 3 sides, 3)
    true = _sides(target, faces)
    normals = nn.functional.normalize(torch.cross(true[:, :, 0], true[:, :, 1], dim=-1), dim=-1)
    return (sides * normals[:, :, None]).sum(-1).abs().mean()


def _sides(vertices: Tensor, faces: Tensor) -> Tensor:
    corners = vertices[:, faces]
    return corners.roll(-1, dims=2) - corners


def relative_to_root(points: Tensor, joints: Tensor) -> Tensor:
    """Points (B, N, 3) relative to the root joint of joints (B, 21, 3)."""
    return points - joints[:, ROOT, None]


# Vertices and joints as simpleHand (10 each, L1); image places 1 as there; rotations and betas
# within the ranges of the recipes that train MANO parameters. 0: not computed.
DEFAULT_WEIGHTS = {
    'vertices': 10.0,
    'joints': 10.0,
    'orientation': 10.0,
    'reprojection': 1.0,
    'keypoints': 1.0,
    'rotation': 0.5,
    'betas': 0.02,
    'edges': 0.0,
    'normals': 0.0,
}


class HandMeshLoss(nn.Module):
    """The weighted losses of one predicted stage.

    Vertices and joints are compared in the hand's own frame: relative to the root and turned back
    by the predicted, and the true, global rotation. `orientation` then trains the global rotation
    alone, on joints whose hand-frame places are taken as they are. Compared in camera space only,
    a hand whose direction is not known yet is best drawn as a small closed one: the fingers learn
    to make up for the global rotation, and scores after alignment get worse than the mean pose's.

    Args:
        weights: Any of `DEFAULT_WEIGHTS`, to change them:
            vertices, joints: `points_loss` in the hand's frame (camera space where the samples
                have no global rotation), metres;
            orientation: `points_loss` of the joints in camera space, relative to the root, metres;
            reprojection: `points_loss` of the projected joints, -1 to 1;
            keypoints: the same for joints that a head finds in the image directly;
            rotation: `rotation_loss`, global and finger rotations, each averaged;
            betas: `shape_loss`;
            edges, normals: `edge_loss` (metres) and `normal_loss`.

    Raises:
        ValueError: A weight of an unknown loss.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        unknown = set(weights or {}) - set(DEFAULT_WEIGHTS)
        if unknown:
            raise ValueError(
                f'loss_weights: expected any of {", ".join(DEFAULT_WEIGHTS)}, '
                f'found {", ".join(sorted(unknown))}'
            )
        self.weights = {**DEFAULT_WEIGHTS, **(weights or {})}

    def forward(
        self, pred: dict[str, Tensor], target: dict[str, Tensor], faces: Tensor
    ) -> dict[str, Tensor]:
        """The losses, each times its weight.

        Args:
            pred: `vertices` (B, 778, 3), `joints` (B, 21, 3) in camera space; `image_joints`
                (B, 21, 2) the projected joints; `global_orient`, `hand_pose`, `betas`;
                `keypoints` (B, 21, 2) if the head has them.
            target: The same names; rotations and betas may be missing, then their losses are too.
            faces: (1538, 3).
        """
        vertices = relative_to_root(pred['vertices'], pred['joints'])
        true_vertices = relative_to_root(target['vertices'], target['joints'])
        joints = relative_to_root(pred['joints'], pred['joints'])
        true_joints = relative_to_root(target['joints'], target['joints'])
        computed: dict[str, Callable[[], Tensor]] = {}
        if 'global_orient' in target:
            turn, true_turn = pred['global_orient'], target['global_orient']
            vertices, joints = vertices @ turn, joints @ turn  # rows: R^T v
            turned_joints = joints.detach() @ turn.mT
            camera_joints = true_joints
            true_vertices, true_joints = true_vertices @ true_turn, true_joints @ true_turn
            computed['orientation'] = lambda: points_loss(turned_joints, camera_joints)
        computed['vertices'] = lambda: points_loss(vertices, true_vertices)
        computed['joints'] = lambda: points_loss(joints, true_joints)
        computed['reprojection'] = lambda: points_loss(pred['image_joints'], target['image_joints'])
        if 'keypoints' in pred:
            inside = target['image_joints'].clamp(-1, 1)  # a heat map cannot point outside
            computed['keypoints'] = lambda: points_loss(pred['keypoints'], inside)
        rotations = [name for name in ('global_orient', 'hand_pose') if name in target]
        if rotations:
            computed['rotation'] = lambda: torch.stack(
                [rotation_loss(pred[name], target[name]) for name in rotations]
            ).sum()
        if 'betas' in target:
            computed['betas'] = lambda: shape_loss(pred['betas'], target['betas'])
        computed['edges'] = lambda: edge_loss(vertices, true_vertices, faces)
        computed['normals'] = lambda: normal_loss(vertices, true_vertices, faces)
        return {
            f'loss_{name}': self.weights[name] * function()
            for name, function in computed.items()
            if self.weights[name]
        }
