"""The base of all results: saving by the suffix of the file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..checkpoints.files import replacing
from ..errors import PredictionError


class Result:
    """Predictions for one image; a subclass says what they are, as data and as a picture.

    Attributes:
        image: (H, W, 3) uint8, RGB; None where it was not kept.
        weights: Name of the published file that the result was made with, and what it may be used
            for: `file` and `licence`. None for one's own weights.
        category_ids: Ids of the classes in annotation files, by label; None where unknown.
    """

    image: np.ndarray | None
    weights: dict[str, str] | None = None
    category_ids: tuple[int, ...] | None = None

    @property
    def picture(self) -> np.ndarray:
        """The image, (H, W, 3) uint8, RGB.

        Raises:
            PredictionError: It was not kept.
        """
        if self.image is None:
            raise PredictionError(
                f'{type(self).__name__}: expected an image to draw on, found None'
            )
        return self.image

    @property
    def objects(self) -> int | None:
        """The number of objects that a picture of the result shows; None: it shows none."""
        return None

    def above(self, score: float) -> 'Result':
        """Return the result without what scores less.

        Raises:
            PredictionError: Results of this kind have no scores.
        """
        raise PredictionError(f'--score-thr {score:g}: a {type(self).__name__} has no scores')

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able fields."""
        raise NotImplementedError

    def origin(self) -> dict[str, Any]:
        """Return the field of `to_dict` that tells of published weights; empty for one's own."""
        return {'weights': self.weights} if self.weights else {}

    def draw(self) -> Image.Image:
        """Return a picture of the result over its image."""
        raise NotImplementedError

    def save(self, path: str | Path) -> Path:
        """Write the result: `.json` as data, `.png` or `.jpg` as a picture.

        Raises:
            PredictionError: Another suffix.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in ('.json', '.png', '.jpg', '.jpeg'):
            raise PredictionError(f'{path}: expected .json, .png or .jpg')
        with replacing(path) as part:
            if suffix == '.json':
                part.write_text(json.dumps(self.to_dict()))
            else:
                self.draw().save(part, compress_level=4)  # in half the time of 6, 2 % larger
        return path

    def save_arrays(self, base: str | Path) -> Path | None:
        """Write what is no part of `to_dict`, to files whose names begin with `base`.

        Returns:
            The file, if there is one.
        """
        return None

    def encoded_arrays(self) -> dict[str, bytes]:
        """Return what is no part of `to_dict` as the bytes of files, by name."""
        return {}

    def save_all(self, base: str | Path) -> Path:
        """Write every form of the result to files whose names begin with `base`.

        Returns:
            The picture, `base` with `.png`.
        """
        self.save(f'{base}.json')
        return self.save(f'{base}.png')
