"""Boxes and masks of one image."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..errors import PredictionError
from .base import Result

if TYPE_CHECKING:
    from supervision import Detections


@dataclass
class InstanceResult(Result):
    """Boxes and masks of one image, best first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the image.
        scores: (N,) float32 in 0-1.
        labels: (N,) int64 indices into `classes`.
        rles: COCO run-length encodings of the masks, or None for a model without masks.
        classes: Class names.
        image: (H, W, 3) uint8, RGB.
        score_threshold: `draw` leaves out what scores less.
        category_ids: Ids of the classes in annotation files, by label; None where unknown.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    rles: list[dict] | None
    classes: tuple[str, ...]
    image: np.ndarray | None = field(default=None, repr=False)
    score_threshold: float = 0.3
    category_ids: tuple[int, ...] | None = None

    def __len__(self) -> int:
        """The number of instances."""
        return len(self.boxes)

    def __bool__(self) -> bool:
        """True, of a picture without instances, too: it is a result."""
        return True

    @property
    def objects(self) -> int:
        """The number of instances that score at least `score_threshold`."""
        return int((self.scores >= self.score_threshold).sum())

    def above(self, score: float) -> 'InstanceResult':
        """Return the instances that score at least as much, all of which `draw` shows."""
        keep = np.flatnonzero(self.scores >= score)
        return replace(
            self,
            boxes=self.boxes[keep],
            scores=self.scores[keep],
            labels=self.labels[keep],
            rles=None if self.rles is None else [self.rles[i] for i in keep],
            score_threshold=score,
        )

    @property
    def masks(self) -> np.ndarray | None:
        """(N, H, W) bool."""
        if self.rles is None:
            return None
        from pycocotools import mask as coco_mask

        if not self.rles:
            return np.zeros((0, *self.picture.shape[:2]), dtype=bool)
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
            if self.category_ids is not None:
                item['category_id'] = self.category_ids[label]
            if self.rles is not None:
                rle = self.rles[i]
                item['segmentation'] = {'size': list(rle['size']), 'counts': _text(rle['counts'])}
            instances.append(item)
        return {'task': 'instance', 'instances': instances, **self.origin()}

    def to_supervision(self) -> 'Detections':
        """Return the instances as `supervision.Detections`: boxes, masks, scores, labels, names.

        Raises:
            PredictionError: supervision is not installed.
        """
        try:
            from supervision import Detections
        except ImportError:
            raise PredictionError(
                'to_supervision: supervision is not installed: pip install supervision'
            ) from None
        names = np.array([self.classes[label] for label in self.labels], dtype=np.str_)
        return Detections(
            xyxy=self.boxes.reshape(-1, 4),
            mask=self.masks,
            confidence=self.scores,
            class_id=self.labels.astype(int),
            data={'class_name': names},
        )

    def draw(self) -> Image.Image:
        """Boxes, masks and names of the instances that score at least `score_threshold`."""
        from ..visualization.instance import draw_instances

        keep = self.scores >= self.score_threshold
        masks = self.masks
        return draw_instances(
            self.picture,
            self.boxes[keep],
            self.labels[keep],
            self.classes,
            None if masks is None else masks[keep],
            self.scores[keep],
        )


def _text(counts: bytes | str) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts
