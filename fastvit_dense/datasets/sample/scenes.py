"""One scene of the sample data: cut-outs pasted over one or two photographed textures."""

from dataclasses import dataclass

import cv2
import numpy as np

from .photos import TEXTURES, Cutout, Texture, read_cutouts, read_photo

SAMPLE_CLASSES = ('person', 'cat', 'cup', 'rocket', 'coin', 'helmet')
SAMPLE_SEMANTIC_CLASSES = (*(texture.category for texture in TEXTURES), *SAMPLE_CLASSES)

# longer side of a pasted object in pixels, and how far it may turn in degrees
SIZES = {
    'person': (70, 170),
    'cat': (60, 160),
    'cup': (60, 150),
    'rocket': (70, 180),
    'coin': (26, 64),
    'helmet': (50, 130),
}
MAX_TURN = {'person': 20, 'cat': 30, 'cup': 30, 'rocket': 45, 'coin': 180, 'helmet': 30}

MIN_INSIDE = 0.6  # of an object's area must lie inside the image
MIN_VISIBLE = 0.35  # of it must stay visible under later objects
MIN_AREA = 80  # pixels that must stay visible


@dataclass
class Scene:
    """A composed picture and its exact ground truth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        categories: Class name of every object, back to front.
        masks: Visible pixels of every object, (H, W) bool each; they do not overlap.
        labels: (H, W) uint8; 0 is ignored (pixels in which object and background mix),
            k stands for `SAMPLE_SEMANTIC_CLASSES[k - 1]`.
    """

    image: np.ndarray
    categories: list[str]
    masks: list[np.ndarray]
    labels: np.ndarray


def compose_scene(rng: np.random.Generator) -> Scene:
    """Compose one scene of two to six objects from the random generator."""
    height, width = int(rng.integers(224, 289)), int(rng.integers(288, 353))
    canvas, labels = _background(rng, height, width)
    categories: list[str] = []
    masks: list[np.ndarray] = []
    areas: list[int] = []
    wanted = int(rng.integers(2, 7))
    for _ in range(20 * wanted):
        if len(masks) == wanted:
            break
        category = str(rng.choice(SAMPLE_CLASSES))
        layer, inside = _place(rng, _choose(rng, category), height, width)
        alpha = layer[..., 3]
        mask = alpha > 0.5
        visible = [old & ~mask for old in masks]
        hidden = any(
            new.sum() < max(MIN_AREA, MIN_VISIBLE * area)
            for new, area in zip(visible, areas, strict=True)
        )
        if hidden or inside < MIN_INSIDE or mask.sum() < MIN_AREA:
            continue
        canvas = canvas * (1 - alpha[..., None]) + layer[..., :3]
        labels[mask] = SAMPLE_SEMANTIC_CLASSES.index(category) + 1
        labels[(alpha > 0.05) & (alpha < 0.95)] = 0
        masks = [*visible, mask]
        areas.append(int(mask.sum()))
        categories.append(category)
    image = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return Scene(image, categories, masks, labels)


def _choose(rng: np.random.Generator, category: str) -> Cutout:
    candidates = [cutout for cutout in read_cutouts() if cutout.category == category]
    return candidates[rng.integers(len(candidates))]


def _background(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """One texture, or two that meet along a tilted wave: (H, W, 3) float32 and labels."""
    first, second = rng.choice(len(TEXTURES), 2, replace=False)
    canvas = _texture(rng, TEXTURES[first], height, width)
    labels = np.full((height, width), first + 1, np.uint8)
    if rng.random() < 0.7:
        x = np.arange(width)
        edge = height * rng.uniform(0.3, 0.7) + rng.uniform(-0.3, 0.3) * (x - width / 2)
        edge += rng.uniform(0, 10) * np.sin(x / rng.uniform(15, 40) + rng.uniform(0, 6))
        below = np.arange(height)[:, None] > edge[None, :]
        canvas[below] = _texture(rng, TEXTURES[second], height, width)[below]
        labels[below] = second + 1
    return canvas, labels


def _texture(rng: np.random.Generator, texture: Texture, height: int, width: int) -> np.ndarray:
    """A random window of the texture, scaled to (height, width, 3) float32."""
    x0, y0, x1, y1 = texture.region
    photo = read_photo(texture.photo)[y0:y1, x0:x1]
    zoom = rng.uniform(0.65, 1.4)
    rows, cols = min(photo.shape[0], int(height / zoom)), min(photo.shape[1], int(width / zoom))
    top = int(rng.integers(photo.shape[0] - rows + 1))
    left = int(rng.integers(photo.shape[1] - cols + 1))
    window = photo[top : top + rows, left : left + cols]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    window = cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA)
    return window.astype(np.float32) * _gains(rng) * np.array(texture.gains, np.float32)


def _gains(rng: np.random.Generator) -> np.ndarray:
    """Random exposure and white balance: gains for R, G, B."""
    gains: np.ndarray = rng.uniform(0.75, 1.15) * rng.uniform(0.92, 1.08, 3)
    return gains.astype(np.float32)


def _place(
    rng: np.random.Generator, cutout: Cutout, height: int, width: int
) -> tuple[np.ndarray, float]:
    """Scale, flip, turn and move a cut-out.

    Returns:
        The layer to paste, (height, width, 4) float32 with RGB times alpha and alpha, and the
        share of the object that lies inside the image.
    """
    rows, cols = cutout.pixels.shape[:2]
    scale = rng.uniform(*SIZES[cutout.category]) / max(rows, cols)
    size = max(1, round(cols * scale)), max(1, round(rows * scale))
    pixels: np.ndarray = cv2.resize(cutout.pixels, size, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    pixels[..., :3] *= _gains(rng)
    turn = MAX_TURN[cutout.category]
    matrix: np.ndarray = cv2.getRotationMatrix2D(
        ((size[0] - 1) / 2, (size[1] - 1) / 2), rng.uniform(-turn, turn), 1.0
    )
    matrix[:, 2] += rng.uniform(0, width), rng.uniform(0, height)
    matrix[:, 2] -= (size[0] - 1) / 2, (size[1] - 1) / 2
    layer = cv2.warpAffine(np.ascontiguousarray(pixels), matrix, (width, height))
    return layer, float(layer[..., 3].sum() / pixels[..., 3].sum())
