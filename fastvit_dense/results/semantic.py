"""Class of every pixel of one image."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..checkpoints.files import replacing
from .base import Result


@dataclass
class SemanticResult(Result):
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

    def __len__(self) -> int:
        """The number of classes that occur."""
        return len(np.unique(self.labels))

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
            **self.origin(),
        }

    def draw(self) -> Image.Image:
        """The image coloured by class."""
        from ..visualization.semantic import draw_semantic

        return draw_semantic(self.picture, self.labels, self.classes, self.palette)

    def save_all(self, base: str | Path) -> Path:
        """Write the picture, the data, and the labels as `base` with `_labels.png`."""
        self.save_arrays(base)
        return super().save_all(base)

    def save_arrays(self, base: str | Path) -> Path:
        """Write the labels, as `base` with `_labels.png`."""
        return self.save_labels(f'{base}_labels.png')

    def save_labels(self, path: str | Path, offset: int = 0) -> Path:
        """Write the class indices as a PNG (8 bit up to 256 classes, else 16 bit).

        Args:
            path: The file.
            offset: Added to the indices; 1 where 0 stands for pixels that are not labelled.
        """
        path = Path(path)
        with replacing(path) as part:
            self._label_image(offset).save(part)
        return path

    def encoded_arrays(self) -> dict[str, bytes]:
        """The labels, as the bytes of a PNG file: `labels`."""
        file = io.BytesIO()
        self._label_image().save(file, 'PNG')
        return {'labels': file.getvalue()}

    def _label_image(self, offset: int = 0) -> Image.Image:
        dtype = np.uint8 if len(self.classes) + offset <= 256 else np.uint16
        return Image.fromarray((self.labels + offset).astype(dtype))
