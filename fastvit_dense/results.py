"""What a model says of one image: the same objects for PyTorch models and exported files."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .files import replacing


class _Result:
    """Saving by the file's suffix."""

    image: np.ndarray | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able fields."""
        raise NotImplementedError

    def draw(self) -> Image.Image:
        """Return a picture of the result over its image."""
        raise NotImplementedError

    def save(self, path: str | Path) -> Path:
        """Write the result: `.json` as data, `.png` or `.jpg` as a picture.

        Raises:
            ValueError: Another suffix.
        """
        path = Path(path)
        if path.suffix not in ('.json', '.png', '.jpg', '.jpeg'):
            raise ValueError(f'{path}: expected .json, .png or .jpg')
        with replacing(path) as part:
            if path.suffix == '.json':
                part.write_text(json.dumps(self.to_dict()))
            else:
                self.draw().save(part)
        return path


@dataclass
class InstanceResult(_Result):
    """Boxes and masks of one image, best first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the image.
        scores: (N,) float32 in 0-1.
        labels: (N,) int64 indices into `classes`.
        rles: COCO run-length encodings of the masks, or None for a model without masks.
        classes: Class names.
        image: (H, W, 3) uint8, RGB.
        score_threshold: `draw` leaves out what scores less.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    rles: list[dict] | None
    classes: tuple[str, ...]
    image: np.ndarray | None = field(default=None, repr=False)
    score_threshold: float = 0.3

    @property
    def masks(self) -> np.ndarray | None:
        """(N, H, W) bool."""
        if self.rles is None:
            return None
        from pycocotools import mask as coco_mask

        if not self.rles:
            return np.zeros((0, *self.image.shape[:2]), dtype=bool)
        return coco_mask.decode(self.rles).transpose(2, 0, 1).astype(bool)

    def to_dict(self) -> dict[str, Any]:
        """Instances as in a COCO result file: bbox is x, y, width, height."""
        instances = []
        for i, (box, score, label) in enumerate(
            zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        ):
            item = {
                'bbox': [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                'score': score,
                'label': label,
                'class': self.classes[label],
            }
            if self.rles is not None:
                rle = self.rles[i]
                item['segmentation'] = {'size': list(rle['size']), 'counts': _text(rle['counts'])}
            instances.append(item)
        return {'task': 'instance', 'instances': instances}

    def draw(self) -> Image.Image:
        """Boxes, masks and names of the instances that score at least `score_threshold`."""
        from .visualization.instance import draw_instances

        keep = self.scores >= self.score_threshold
        masks = None if self.rles is None else self.masks[keep]
        return draw_instances(
            self.image, self.boxes[keep], self.labels[keep], self.classes, masks, self.scores[keep]
        )


@dataclass
class SemanticResult(_Result):
    """Class of every pixel of one image.

    Attributes:
        labels: (H, W) int64 indices into `classes`.
        classes: Class names.
        palette: RGB per class, or None.
        image: (H, W, 3) uint8, RGB.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    palette: list | None = None
    image: np.ndarray | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Size, and the share of the pixels of each class that occurs."""
        values, counts = np.unique(self.labels, return_counts=True)
        return {
            'task': 'semantic',
            'size': list(self.labels.shape),
            'classes': [
                {'label': int(v), 'class': self.classes[v], 'share': float(n / self.labels.size)}
                for v, n in zip(values, counts, strict=True)
            ],
        }

    def draw(self) -> Image.Image:
        """The image coloured by class."""
        from .visualization.semantic import draw_semantic

        return draw_semantic(self.image, self.labels, self.classes, self.palette)

    def save_labels(self, path: str | Path) -> Path:
        """Write the class indices as a PNG (8 bit up to 256 classes, else 16 bit)."""
        path = Path(path)
        dtype = np.uint8 if len(self.classes) <= 256 else np.uint16
        with replacing(path) as part:
            Image.fromarray(self.labels.astype(dtype)).save(part)
        return path


@dataclass
class HandResult(_Result):
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

    def to_dict(self) -> dict[str, Any]:
        """All parameters, joints and vertices as lists."""
        arrays = ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas', 'K')
        lists = {name: np.asarray(getattr(self, name)).tolist() for name in arrays}
        return {'task': 'hand', 'hand_model': self.hand_model, **lists}

    def draw(self) -> Image.Image:
        """Image, skeleton, mesh overlay and side view in a row."""
        from .visualization.hand import draw_hand

        return draw_hand(self.image, self.K, self.joints, self.vertices, self.faces)

    def save(self, path: str | Path) -> Path:
        """Write as `.json`, as a picture, or the mesh as `.obj` or `.ply`."""
        path = Path(path)
        if path.suffix in ('.obj', '.ply'):
            from .visualization.hand import save_mesh

            with replacing(path) as part:
                save_mesh(part, self.vertices, self.faces)
            return path
        return super().save(path)


Result = InstanceResult | SemanticResult | HandResult


def _text(counts: bytes | str) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts
