"""From a weak-perspective camera to a place in metres before the true camera, and back.

The networks see a crop and tell, per hand, (s, tx, ty):

    s       half image widths per metre at the depth of the root,
    tx, ty  place of the root in the image, -1 to 1 from edge to edge.

The root is the first joint of the middle finger (FreiHAND's joint 9). With the K of the network's
input (W x W pixels; K follows every crop, zoom and turn of the image) this is FreiHAND's own
placing of a hand (freihand: utils/model.py, `xyz_root = [(uv_root - pp), focal] / scale`):

    u = (tx + 1) W / 2,  v = (ty + 1) W / 2,  Z = f / (s W / 2),  f = (K00 + K11) / 2,
    root = Z K^-1 (u, v, 1).

All other points then project exactly, by perspective. Pixels count from the outer corner of the
image: the centre of the first pixel lies at (0.5, 0.5).
"""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

ROOT = 9  # FreiHAND's joint 9, the middle finger's first
MIDDLE_PHALANX = (9, 10)  # FreiHAND's `scale` is the distance of these joints, metres
TYPICAL_SCALE = 6.0  # s of FreiHAND's average hand: focal about 480 at 0.71 m, 224 pixels
TYPICAL_FOCAL = 2.2  # in image widths; what is assumed where K is not known
MIN_DEPTH = 0.05  # metres; nearer points are projected as if they were there


Points = TypeVar('Points', Tensor, np.ndarray)


def project(points: Points, K: Points) -> Points:
    """Project points in camera space to pixels.

    Args:
        points: (..., N, 3), metres; those nearer than `MIN_DEPTH` are taken to be there.
        K: Camera matrices (..., 3, 3).

    Returns:
        (..., N, 2), as the points a tensor or an array.
    """
    transposed = K.mT if isinstance(K, Tensor) else np.asarray(K, points.dtype).swapaxes(-1, -2)
    image = points @ transposed
    return image[..., :2] / image[..., 2:].clip(min=MIN_DEPTH)


def to_unit(pixels: Tensor, width: int) -> Tensor:
    """Pixels of a square image to -1 ... 1 from edge to edge."""
    return pixels * (2 / width) - 1


def weak_project(points: Tensor, camera: Tensor) -> Tensor:
    """Image places (B, N, 2), -1 to 1, of root-relative points (B, N, 3) by (s, tx, ty) (B, 3)."""
    return points[..., :2] * camera[:, None, :1] + camera[:, None, 1:]


def root_position(camera: Tensor, K: Tensor, width: int) -> Tensor:
    """Place the root before the true camera.

    Args:
        camera: (B, 3) s > 0, tx, ty as above.
        K: (B, 3, 3) of the network's input, upper triangular; a skew K01 is allowed.
        width: Side W of the input, pixels.

    Returns:
        (B, 3) metres, OpenCV frame (x right, y down, z forward).
    """
    s = camera[:, 0]
    u, v = ((camera[:, 1:] + 1) * (width / 2)).unbind(1)
    focal = (K[:, 0, 0] + K[:, 1, 1]) / 2
    z = focal / (s * (width / 2))
    y = (v - K[:, 1, 2]) / K[:, 1, 1]
    x = (u - K[:, 0, 2] - K[:, 0, 1] * y) / K[:, 0, 0]
    return torch.stack([x * z, y * z, z], dim=1)


def weak_perspective(root: Tensor, K: Tensor, width: int) -> Tensor:
    """The camera (B, 3) that `root_position` takes to `root` (B, 3)."""
    focal = (K[:, 0, 0] + K[:, 1, 1]) / 2
    place = to_unit(project(root[:, None], K)[:, 0], width)
    return torch.cat([(focal / root[:, 2] / (width / 2))[:, None], place], dim=1)


def size_ratio(joints: Tensor, scale: Tensor) -> Tensor:
    """Factor (B,) that gives the middle finger's first bone the known length `scale`.

    A hand that is scaled by it together with its place (about the camera's centre) looks the same
    in the image and has the known size, so its depth is right as far as the image tells.

    Args:
        joints: (B, 21, 3) in any frame, metres.
        scale: (B,) metres, FreiHAND's `*_scale.json`.
    """
    near, far = MIDDLE_PHALANX
    return scale / (joints[:, far] - joints[:, near]).norm(dim=1).clamp(min=1e-6)


def assumed_camera(width: int) -> Tensor:
    """K (3, 3) for pictures whose camera is not known: depths are then a guess."""
    focal, middle = TYPICAL_FOCAL * width, width / 2
    return torch.tensor([[focal, 0, middle], [0, focal, middle], [0, 0, 1]])


def camera_problem(K: np.ndarray) -> str | None:
    """Tell in words what keeps `K` (3, 3) from being a pinhole camera's matrix; None if nothing."""
    if not np.allclose(K[2], (0, 0, 1)):
        return f'expected the last row 0 0 1, found {K[2].tolist()}'
    if abs(np.linalg.det(K)) < 1e-6:
        return f'expected an invertible matrix, found a singular one: {K.tolist()}'
    return None
