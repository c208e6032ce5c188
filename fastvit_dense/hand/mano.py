"""The MANO hand model as a torch layer: rotation matrices in, metres out.

Romero, Tzionas, Black: "Embodied Hands: Modeling and Capturing Hands and Bodies Together", 2017.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

# Parent of each of MANO's 16 joints: wrist, then index, middle, pinky, ring, thumb (3 each, from
# the palm outwards).
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)

# Vertices that FreiHAND uses as fingertips: thumb, index, middle, ring, pinky.
FINGERTIP_VERTICES = (744, 320, 443, 555, 672)

# FreiHAND's 21 joints (wrist, then thumb, index, middle, ring, pinky, 4 each, from the palm to the
# tip) as positions in MANO's 16 joints followed by the five fingertips.
FREIHAND_ORDER = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)

ARRAY_SHAPES = {
    'v_template': (778, 3),
    'f': (1538, 3),
    'J_regressor': (16, 778),
    'J': (16, 3),
    'kintree_table': (2, 16),
    'weights': (778, 16),
    'posedirs': (778, 3, 135),
    'shapedirs': (778, 3, 10),
    'hands_mean': (45,),
    'hands_components': (45, 45),
    'hands_coeffs': (None, 45),
}


@dataclass(frozen=True, eq=False)
class ManoModel:
    """The arrays of one MANO file (or of the stand-in), under MANO's own names.

    Always the right hand; `Mano` mirrors it for left hands. Lengths are metres, floating
    arrays float64.

    Attributes:
        v_template: (778, 3) mean shape in rest pose.
        f: (1538, 3) uint32, vertex numbers of the triangles, counter-clockwise from outside.
        J_regressor: (16, 778) joints from vertices, dense.
        J: (16, 3) joints of the mean shape.
        kintree_table: (2, 16) int64, parent (-1 for the wrist) and number of each joint.
        weights: (778, 16) skinning weights, rows sum to 1.
        posedirs: (778, 3, 135) offsets per entry of the flattened `R_1 - I, ..., R_15 - I`.
        shapedirs: (778, 3, 10) offsets per shape parameter.
        hands_mean: (45,) mean pose, axis-angle, radians, joints 1 to 15.
        hands_components: (45, 45) principal components of the pose, one a row.
        hands_coeffs: (N, 45) poses of the scans in terms of `hands_components`.
        bs_style: `'lbs'`. bs_type: `'lrotmin'`.
        name: What reports print.
        release: The known release of the file the arrays came from, or None.
        is_standin: True for `~fastvit_dense.hand.standin_mano`; numbers made with it must
            say so.
    """

    v_template: np.ndarray
    f: np.ndarray
    J_regressor: np.ndarray
    J: np.ndarray
    kintree_table: np.ndarray
    weights: np.ndarray
    posedirs: np.ndarray
    shapedirs: np.ndarray
    hands_mean: np.ndarray
    hands_components: np.ndarray
    hands_coeffs: np.ndarray
    bs_style: str = 'lbs'
    bs_type: str = 'lrotmin'
    name: str = 'MANO'
    release: str | None = None
    is_standin: bool = False


class ManoOutput(NamedTuple):
    """Vertices (B, 778, 3) and joints (B, 21, 3; FreiHAND's order) in metres."""

    vertices: Tensor
    joints: Tensor


class Mano(nn.Module):
    """Linear blend skinning of the MANO hand (MANO, equations 2 to 7 of SMPL).

    A left hand (`side='left'`) is the mirror image of the right one in the plane x = 0: with
    M = diag(-1, 1, 1), a left hand with rotations M R M (axis-angle: y and z negated), translation
    M t and the same betas has exactly the vertices and joints M v of the right hand with R, t.
    Its faces are reversed, so that they still face outwards.

    All arrays are non-persistent buffers: MANO's licence forbids passing them on, so they never
    enter a checkpoint, and `state_dict()` is empty.

    Args:
        model: The right hand's arrays, from `read_mano` or `standin_mano`.
        side: `'right'` or `'left'`.

    Attributes:
        faces: (1538, 3) int64.
        mean_pose: (15, 3, 3) the hand mean as rotations, for who wants to start there; `forward`
            does not add it.
        is_standin, name: Those of `model`.
    """

    v_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor
    weights: Tensor
    rest_joints: Tensor
    rest_joint_dirs: Tensor
    joint_regressor: Tensor
    mean_pose: Tensor
    faces: Tensor

    def __init__(self, model: ManoModel, side: str = 'right') -> None:
        super().__init__()
        if side not in ('right', 'left'):
            raise ValueError(f"side: expected 'right' or 'left', found {side!r}")
        if tuple(model.kintree_table[0]) != PARENTS:
            raise ValueError(
                f'kintree_table: expected the parents {PARENTS}, '
                f'found {tuple(model.kintree_table[0].tolist())}'
            )
        self.side = side
        self.name = model.name
        self.is_standin = model.is_standin

        v_template, shapedirs, posedirs = model.v_template, model.shapedirs, model.posedirs
        faces = model.f.astype(np.int64)
        mean_pose = Rotation.from_rotvec(model.hands_mean.reshape(15, 3)).as_matrix()
        if side == 'left':
            mirror = np.array([-1.0, 1.0, 1.0])
            v_template = v_template * mirror
            shapedirs = shapedirs * mirror[:, None]
            # entry (j, r, c) of the pose feature changes its sign with M R M
            signs = np.tile(np.outer(mirror, mirror).ravel(), 15)
            posedirs = posedirs * mirror[:, None] * signs
            faces = faces[:, ::-1].copy()
            mean_pose = mean_pose * np.outer(mirror, mirror)

        tips = np.zeros((5, 778))
        tips[range(5), FINGERTIP_VERTICES] = 1
        joint_regressor = np.concatenate([model.J_regressor, tips])[list(FREIHAND_ORDER)]

        def buffer(name: str, array: np.ndarray) -> None:
            tensor = torch.tensor(array, dtype=torch.float32)
            self.register_buffer(name, tensor, persistent=False)

        buffer('v_template', v_template)  # (778, 3)
        buffer('shapedirs', shapedirs.reshape(-1, 10).T)  # (10, 2334)
        buffer('posedirs', posedirs.reshape(-1, 135).T)  # (135, 2334)
        buffer('weights', model.weights)  # (778, 16)
        buffer('rest_joints', model.J_regressor @ v_template)  # (16, 3)
        rest_joint_dirs = np.einsum('jv,vcs->sjc', model.J_regressor, shapedirs)
        buffer('rest_joint_dirs', rest_joint_dirs.reshape(10, -1))  # (10, 48)
        buffer('joint_regressor', joint_regressor)  # (21, 778), FreiHAND's order
        buffer('mean_pose', mean_pose)  # (15, 3, 3)
        self.register_buffer('faces', torch.from_numpy(faces), persistent=False)

    def forward(
        self,
        global_orient: Tensor,
        hand_pose: Tensor,
        betas: Tensor,
        transl: Tensor | None = None,
    ) -> ManoOutput:
        """Pose the hand.

        Args:
            global_orient: (B, 3, 3) rotation of the whole hand about its wrist joint.
            hand_pose: (B, 15, 3, 3) full rotations of joints 1 to 15 relative to their parents, in
                MANO's order; the hand mean is not added.
            betas: (B, 10) shape.
            transl: (B, 3) metres, added last; None for no translation.

        Returns:
            Vertices (B, 778, 3) and FreiHAND's joints (B, 21, 3), metres.

        Raises:
            ValueError: An argument has another shape.
        """
        if not torch.jit.is_tracing():  # there, sizes are tensors
            _check_shapes(global_orient, hand_pose, betas, transl)
        device = global_orient.device.type
        # half precision costs millimetres
        if device != 'meta' and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self(*(x if x is None else x.float() for x in
                              (global_orient, hand_pose, betas, transl)))  # fmt: skip
        batch = betas.shape[0]
        identity = torch.eye(3, dtype=hand_pose.dtype, device=hand_pose.device)
        pose_feature = (hand_pose - identity).reshape(batch, 135)
        offsets = betas @ self.shapedirs + pose_feature @ self.posedirs
        vertices = self.v_template + offsets.reshape(batch, 778, 3)
        joints = self.rest_joints + (betas @ self.rest_joint_dirs).reshape(batch, 16, 3)

        rotations, positions = _chain(global_orient, hand_pose, joints)
        # [R | t] of each joint takes a rest-pose point to where that joint moves it
        shifts = positions - (rotations @ joints[..., None])[..., 0]
        transforms = torch.cat([rotations, shifts[..., None]], dim=-1).reshape(batch, 16, 12)
        blended = (self.weights @ transforms).reshape(batch, 778, 3, 4)
        vertices = (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]
        if transl is not None:
            vertices = vertices + transl[:, None]
        return ManoOutput(vertices, self.joint_regressor @ vertices)

    def wrist(self, betas: Tensor) -> Tensor:
        """(B, 3) wrist joint of the rest pose, about which the hand turns, for betas (B, 10)."""
        return self.rest_joints[0] + betas @ self.rest_joint_dirs[:, :3]


def _chain(global_orient: Tensor, hand_pose: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations (B, 16, 3, 3) and positions (B, 16, 3) of the joints along the five fingers."""
    batch = joints.shape[0]
    local = hand_pose.reshape(batch, 5, 3, 3, 3)  # finger, level
    rest = joints[:, 1:].reshape(batch, 5, 3, 3)
    parent = joints[:, None, 0].expand(batch, 5, 3)
    rotation = global_orient[:, None].expand(batch, 5, 3, 3)
    position = parent
    rotations, positions = [], []
    for level in range(3):
        bone = rest[:, :, level] - parent
        position = position + (rotation @ bone[..., None])[..., 0]
        rotation = rotation @ local[:, :, level]
        parent = rest[:, :, level]
        rotations.append(rotation)
        positions.append(position)
    all_rotations = torch.stack(rotations, dim=2).reshape(batch, 15, 3, 3)
    all_positions = torch.stack(positions, dim=2).reshape(batch, 15, 3)
    return (
        torch.cat([global_orient[:, None], all_rotations], dim=1),
        torch.cat([joints[:, :1], all_positions], dim=1),
    )


def _check_shapes(
    global_orient: Tensor, hand_pose: Tensor, betas: Tensor, transl: Tensor | None
) -> None:
    expected = {
        'global_orient': (global_orient, (3, 3)),
        'hand_pose': (hand_pose, (15, 3, 3)),
        'betas': (betas, (10,)),
        'transl': (transl, (3,)),
    }
    batch = betas.shape[0]
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != (batch, *shape):
            raise ValueError(
                f'{name}: expected shape ({batch}, {", ".join(map(str, shape))}), '
                f'found {tuple(tensor.shape)}'
            )
