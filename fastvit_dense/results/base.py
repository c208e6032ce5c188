"""What all results share: saving by the suffix of the file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..checkpoints.files import replacing


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
