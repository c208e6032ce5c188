"""Large pictures in tiles that overlap; the task puts the parts together."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from torch import nn

from ..errors import ConfigError, ImageError
from ..results.base import Result
from .predictor import BATCH_SIZE, Predictor
from .reading import ImageInput

Item = TypeVar('Item')
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
SMALLEST = 32


def tile_rows(height: int, width: int, size: int, overlap: float) -> list[list[Box]]:
    """Tiles of a picture, row by row; all have one size, and none reaches beyond the picture.

    Args:
        height: Of the picture.
        width: Of the picture.
        size: Side of a tile.
        overlap: Share of a tile that it has in common with the next, at least.
    """
    return [
        [
            (left, top, min(left + size, width), min(top + size, height))
            for left in starts(width, size, overlap)
        ]
        for top in starts(height, size, overlap)
    ]


def starts(length: int, size: int, overlap: float) -> list[int]:
    """Starts of tiles along a side, evenly spaced."""
    if length <= size:
        return [0]
    step = max(1, int(size * (1 - overlap)))
    count = -(-(length - size) // step) + 1
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


class TiledModel(nn.Module):
    """Stand-in for a model in mmengine's test loop: its pictures in tiles.

    Args:
        predictor: Predicts whole pictures.
    """

    def __init__(self, predictor: 'TiledPredictor') -> None:
        super().__init__()
        self.predictor = predictor

    def test_step(self, data: dict) -> list[Any]:
        """Predict the pictures of a batch, (3, H, W) uint8, BGR, which nothing has resized."""
        task, samples = self.predictor.model.task, []
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            picture = image.flip(0).permute(1, 2, 0).cpu().numpy()
            samples.append(task.fill_sample(sample, self.predictor.predict(picture)))
        return samples


def without_resizing(pipeline: list[dict]) -> list[dict]:
    """The steps of a test pipeline that read a picture and its truth, and hand them on."""
    names = [str(step['type']).rpartition('.')[2] for step in pipeline]
    return [
        step
        for step, name in zip(pipeline, names, strict=True)
        if name not in ('Resize', 'ResizeToMultiple')
    ]


class TiledPredictor:
    """A predictor that sees large pictures in tiles.

    A tile is resized as the config resizes a picture; one that a picture fits in whole changes
    nothing.

    Args:
        model: Whose task knows how to put tiles together.
        size: Side of a tile, pixels of the picture.
        overlap: Share of a tile that it has in common with the next, 0 to 0.9.

    Raises:
        ConfigError: A size or an overlap that does not work.
    """

    def __init__(self, model: Predictor, size: int, overlap: float = 0.25) -> None:
        if size < SMALLEST:
            raise ConfigError(f'--tiles {size}: expected at least {SMALLEST} pixels')
        if not 0 <= overlap <= 0.9:
            raise ConfigError(f'--overlap {overlap}: expected a share from 0 to 0.9')
        self.model, self.size, self.overlap = model, size, overlap

    def predict(self, image: ImageInput, batch_size: int = BATCH_SIZE) -> Result:
        """Predict one picture.

        Raises:
            ImageError: The picture cannot be read.
            ConfigError: The task has no way to put tiles together.
        """
        picture = np.ascontiguousarray(self.model.reader.read(image)['img'][..., ::-1])
        height, width = picture.shape[:2]
        rows = tile_rows(height, width, self.size, self.overlap)
        if len(rows) == len(rows[0]) == 1:
            return self.model.predict(picture)
        result = self.model.task.predict_tiles(self.model, picture, rows, batch_size)
        result.category_ids = self.model.category_ids
        return result

    def pairs(
        self, images: Iterable[Item], batch_size: int = BATCH_SIZE
    ) -> Iterator[tuple[Item, Result | ImageError]]:
        """Do what `Predictor.pairs` does; the tiles of a picture are its batches."""
        for image in images:
            try:
                yield image, self.predict(image, batch_size)  # type: ignore[arg-type]
            except ImageError as error:
                yield image, error
