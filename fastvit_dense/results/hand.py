"""The 3D hand of one image."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..checkpoints.files import replacing
from .base import Result


@dataclass
class HandResult(Result):
    """The 3D hand of one image, metres, OpenCV camera frame.

    Attributes:
        joints: (21, 3) float32, FreiHAND order.
        vertices: (778, 3) float32.
        faces: (1538, 3) int64.
        global_orient: (3, 3) rotation matrix.
        hand_pose: (15, 3, 3) rotation matrices in MANO's joint order.
        betas: (10,) shape coefficients.
        K: (3, 3) camera matrix that the hand was placed with.
        hand_model: Name of the hand model: MANO, or the stand-in.
        image: (H, W, 3) uint8, RGB.
        is_right: Whether it is a right hand; a left one's parameters are those of a mirrored hand.
    """

    joints: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    global_orient: np.ndarray
    hand_pose: np.ndarray
    betas: np.ndarray
    K: np.ndarray
    hand_model: str
    image: np.ndarray | None = field(default=None, repr=False)
    is_right: bool = True

    def __len__(self) -> int:
        """One: the hand."""
        return 1

    def to_dict(self) -> dict[str, Any]:
        """All parameters, joints and vertices as lists."""
        arrays = ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas', 'K')
        lists = {name: np.asarray(getattr(self, name)).tolist() for name in arrays}
        return {'task': 'hand', 'hand_model': self.hand_model, **lists, **self.origin()}

    def draw(self) -> Image.Image:
        """Image, skeleton, mesh overlay and side view in a row."""
        from ..visualization.hand import draw_hand

        return draw_hand(self.image, self.K, self.joints, self.vertices, self.faces)

    def save(self, path: str | Path) -> Path:
        """Write as `.json`, as a picture, or the mesh as `.obj` or `.ply`."""
        path = Path(path)
        if path.suffix.lower() in ('.obj', '.ply'):
            from ..visualization.hand import save_mesh

            with replacing(path) as part:
                save_mesh(part, self.vertices, self.faces)
            return path
        return super().save(path)

    def save_all(self, base: str | Path) -> Path:
        """Write the picture, the data, and the mesh as `base` with `.obj`."""
        self.save(f'{base}.obj')
        return super().save_all(base)
