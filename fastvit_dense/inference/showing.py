"""A picture and a model by its name: overlay, times and data, as a page shows them."""

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..checkpoints.published import OF_CONFIG
from ..datasets.picture_files import size_problem
from ..errors import ConfigError, ImageError
from ..tasks.config import stands_alone
from .predictor import load_model
from .sources import IMAGE_SUFFIXES
from .timing import TimedPredictor

MAX_BYTES = 20 * 1024 * 1024  # of a picture
MAX_PIXELS = 50_000_000
SHOWN = 1600  # pixels of the longer side of an overlay


@dataclass(frozen=True)
class Answer:
    """The answer to one picture.

    Attributes:
        overlay: The picture with what was found.
        told: One line.
        times: Part and seconds, in the order of the work.
        data: The result as JSON, times included.
    """

    overlay: Image.Image
    told: str
    times: list[tuple[str, float]]
    data: str


class Showroom:
    """The models that may be chosen, each loaded when it is first asked for.

    Which they are is decided where this is made: those that are named then, and the published
    ones. A name that comes later is looked up among them and never read as a path.

    Args:
        models: Files that stand alone (a checkpoint, an exported file), or names of shipped
            configs with published weights.
        device: As for `load_model`.

    Raises:
        ConfigError: A model is neither.
    """

    def __init__(self, models: Sequence[str] = (), device: str | None = None) -> None:
        self.device = device
        self.sources: dict[str, str] = {}
        for model in models:
            if not stands_alone(model) and model not in OF_CONFIG:
                raise ConfigError(
                    f'{model}: expected a checkpoint or an exported file, which carry their '
                    f'config, or one of {", ".join(OF_CONFIG)}'
                )
            if stands_alone(model) and not os.path.exists(model) and '://' not in model:
                raise ConfigError(f'{model}: no such file')
            self.sources[self._unused_name(model)] = model
        self.sources |= {name: name for name in OF_CONFIG if name not in self.sources}
        self._loaded: dict[str, TimedPredictor] = {}
        self._lock = threading.Lock()

    def _unused_name(self, model: str) -> str:
        """The file's name; with its folder where another model has that name."""
        name = Path(model).name
        return str(Path(model).parent / name) if name in self.sources else name

    @property
    def names(self) -> list[str]:
        """Names to choose from."""
        return list(self.sources)

    def __call__(self, picture: str | os.PathLike, name: str, score: float = 0.3) -> Answer:
        """Predict a picture.

        Args:
            picture: A file of one of `IMAGE_SUFFIXES`.
            name: One of `names`.
            score: Objects that score less are left out, 0-1; models without scores pay no heed.

        Raises:
            ConfigError: There is no such model, or the score is no number of 0-1.
            ImageError: The picture is of another kind, too large, or cannot be read.
            CheckpointError, ExportError: The model cannot be loaded.
        """
        path = Path(picture)
        if not 0 <= score <= 1:
            raise ConfigError(f'score: expected a number of 0 to 1, found {score}')
        check_upload(path)
        with self._lock:  # one picture at a time: parts are timed
            model = self._load(name)
            try:
                result = model(path)
            except ImageError as error:  # where the server keeps it is nobody's business
                raise ImageError(str(error).replace(str(path), path.name)) from error
            seconds = list(model.seconds.items())
        if result.objects is not None:
            result = result.above(score)
        overlay = result.draw().convert('RGB')
        overlay.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        height, width = result.picture.shape[:2]
        content = {
            'image': path.name,
            'model': name,
            'width': width,
            'height': height,
            'milliseconds': {part: round(1000 * spent, 3) for part, spent in seconds},
            **result.to_dict(),
        }
        told = f'{width} x {height} pixels'
        if result.objects is not None:
            told += f', {result.objects} objects that score {score:g} and more'
        return Answer(overlay, told, seconds, json.dumps(content, indent=1))

    def _load(self, name: Any) -> TimedPredictor:
        if not isinstance(name, str) or name not in self.sources:
            raise ConfigError(f'model: expected one of {", ".join(self.names)}')
        if name not in self._loaded:
            predictor = load_model(self.sources[name], device=self.device)
            device = str(getattr(next(predictor.model.parameters(), None), 'device', 'cpu'))
            self._loaded[name] = TimedPredictor(predictor, device)
        return self._loaded[name]


def check_upload(path: Path) -> None:
    """Look at kind and size of a picture's file before anything of it is decoded.

    Raises:
        ImageError: Another kind of file, or too large.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        found = path.suffix or 'none of these suffixes'
        raise ImageError(
            f'{path.name}: expected a picture ({" ".join(IMAGE_SUFFIXES)}), found {found}'
        )
    size = path.stat().st_size if path.is_file() else 0
    if size > MAX_BYTES:
        raise ImageError(
            f'{path.name}: expected at most {MAX_BYTES >> 20} MB, found {size / 2**20:.1f} MB'
        )
    if problem := size_problem(path):
        raise ImageError(f'{path.name}: {problem}')
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f'{path.name}: cannot be read as a picture') from error
    if pixels > MAX_PIXELS:
        raise ImageError(
            f'{path.name}: expected at most {MAX_PIXELS // 10**6} megapixels, '
            f'found {pixels / 1e6:.1f}'
        )
