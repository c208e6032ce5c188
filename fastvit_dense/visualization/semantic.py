"""Pictures of class maps."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .palette import class_color


def draw_semantic(
    image: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None = None,
    opacity: float = 0.6,
    min_share: float = 0.01,
) -> Image.Image:
    """Colour an image by class and write the names of the larger regions.

    Args:
        image: (H, W, 3) uint8, RGB.
        labels: (H, W) class indices; values outside `classes` (ignore) stay uncoloured.
        classes: Class names.
        palette: RGB per class; by default `class_color`.
        opacity: Of the colours, 0-1.
        min_share: Classes that cover less of the picture get no name.
    """
    colors = np.array(
        [palette[i] if palette else class_color(i) for i in range(len(classes))], dtype=np.float32
    )
    known = (labels >= 0) & (labels < len(classes))
    canvas = image.astype(np.float32)
    canvas[known] = (1 - opacity) * canvas[known] + opacity * colors[labels[known]]
    picture = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(11, round(min(picture.size) / 24)))
    for label in np.unique(labels[known]):
        mask = labels == label
        if mask.mean() < min_share:
            continue
        y, x = inner_point(mask)
        draw.text(
            (x, y),
            classes[label],
            font=font,
            anchor='mm',
            fill=(255, 255, 255),
            stroke_width=2,
            stroke_fill=(0, 0, 0),
        )
    return picture


def inner_point(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (y, x) of a mask (H, W) that lies farthest from its border."""
    framed = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = divmod(int(distance.argmax()), mask.shape[1])
    return y, x
