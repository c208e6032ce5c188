"""The hands of one picture."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .base import Result
from .hand import HandResult


@dataclass
class HandsResult(Result):
    """The 3D hands of one picture, each placed where it is seen.

    Attributes:
        hands: One a box, with its own camera of the whole picture; `is_right` of each tells.
        image: (H, W, 3) uint8, RGB.
        scores: Of the boxes, 0-1.
    """

    hands: list[HandResult]
    image: np.ndarray | None = field(default=None, repr=False)
    scores: tuple[float, ...] = ()

    def __len__(self) -> int:
        """The number of hands."""
        return len(self.hands)

    def __bool__(self) -> bool:
        """True, of a picture without hands, too: it is a result."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """The hands, as `HandResult.to_dict` gives them, with `is_right` and `score`."""
        return {
            'task': 'hands',
            'hands': [
                {**hand.to_dict(), 'is_right': hand.is_right, 'score': score}
                for hand, score in zip(self.hands, self.scores, strict=True)
            ],
        }

    def draw(self) -> Image.Image:
        """The picture with the mesh and the skeleton of each hand."""
        from ..visualization.hand import draw_over

        picture = self.picture
        for hand in self.hands:
            picture = draw_over(picture, hand.K, hand.joints, hand.vertices, hand.faces)
        return Image.fromarray(picture)

    def save_all(self, base: str | Path) -> Path:
        """Write the picture, the data, and the mesh of each hand as `base` with `_hand0.obj`."""
        for number, hand in enumerate(self.hands):
            hand.save(f'{base}_hand{number}.obj')
        return super().save_all(base)
