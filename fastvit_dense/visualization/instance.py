"""Pictures of boxes and masks."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .palette import class_color


def draw_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    masks: np.ndarray | None = None,
    scores: np.ndarray | None = None,
) -> Image.Image:
    """Draw boxes, masks and names over an image.

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes: (N, 4) x1 y1 x2 y2 in pixels.
        labels: (N,) indices into `classes`.
        classes: Class names.
        masks: (N, H, W) bool, or None.
        scores: (N,) in 0-1, or None for ground truth.
    """
    canvas = image.astype(np.float32)
    order = np.argsort(-_box_areas(boxes))  # small ones last, on top
    if masks is not None:
        for i in order:
            mask = masks[i]
            canvas[mask] = 0.55 * canvas[mask] + 0.45 * np.array(class_color(labels[i]))
            canvas[_outline(mask)] = class_color(labels[i])
    picture = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    size = max(11, round(min(picture.size) / 28))
    font = ImageFont.load_default(size)
    for i in order:
        color = class_color(labels[i])
        draw.rectangle([float(v) for v in boxes[i]], outline=color, width=max(1, size // 8))
        text = classes[int(labels[i])] + (f' {scores[i]:.2f}' if scores is not None else '')
        _label(draw, picture.size, boxes[i], text, color, font)
    return picture


def _label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: np.ndarray,
    text: str,
    color: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    left, _, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom + 2
    x = float(min(max(box[0], 0), max(size[0] - width, 0)))
    y = float(box[1] - height if box[1] >= height else box[1])
    y = min(max(y, 0.0), max(size[1] - height, 0))
    draw.rectangle([x, y, x + width, y + height], fill=color)
    dark = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    draw.text((x + 2, y), text, fill=(0, 0, 0) if dark else (255, 255, 255), font=font)


def _box_areas(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that touch its outside."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside
