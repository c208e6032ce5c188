"""Columns of pictures in, columns of predictions out: what engines for large data work with."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, ImageError
from ..results.base import Result
from .predictor import BATCH_SIZE, load_model

PATH, BYTES = 'path', 'bytes'  # as Ray Data's `read_binary_files` names them
ENCODED = bytes | bytearray | memoryview


class BatchPredictor:
    """A model called with batches of rows, as Ray Data's `map_batches` calls a class.

    No engine is imported: `BatchPredictor('best.pth')({'path': ['a.jpg', 'b.jpg']})` is a call.

    Args:
        model: As for `load_model`.
        checkpoint: As for `load_model`.
        device: As for `load_model`.
        batch_size: Pictures of one size that the network sees together.
        score_thr: What scores less is left out, where results have scores; None: nothing is.
        fuse: Fold the network first.

    Raises:
        ConfigError, CheckpointError, CheckpointMismatch, ExportError: As `load_model`.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        checkpoint: str | os.PathLike | None = None,
        device: str | None = None,
        batch_size: int = BATCH_SIZE,
        score_thr: float | None = None,
        fuse: bool = True,
    ) -> None:
        self.predictor = load_model(model, checkpoint, device)
        if fuse:
            self.predictor.fuse()
        self.batch_size = batch_size
        self.score_thr = score_thr

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Predict the pictures of a batch; one that cannot be read fails no other.

        Args:
            batch: Columns of one length: `path`, `bytes` (of picture files), or both, of which a
                row's bytes are read where it has any. Others go through.

        Returns:
            The columns, without `bytes`, and

            - `error`: what is wrong with the picture; '' where it was predicted.
            - `height`, `width`: of the picture, int64; 0 where it was not.
            - `prediction`: `result.to_dict()` as JSON, what `predict` writes; '' where it was not.
            - semantic models: `labels`, the bytes of a PNG file of class indices; b'' where it was
              not.

        Raises:
            ConfigError: There is neither `path` nor `bytes`, or columns differ in length.
        """
        pictures = list(_pictures(batch))
        found = self.predictor.pairs(pictures, self.batch_size, image_of=_image_of)
        rows = [self._row(name, result) for (name, _), result in found]
        kept = {name: column for name, column in batch.items() if name != BYTES}
        numbers = {name: [row[name] for row in rows] for name in ('height', 'width')}
        texts = ('error', 'prediction', *self.predictor.task.encoded_arrays)
        return {
            **kept,
            **{name: np.array(column, np.int64) for name, column in numbers.items()},
            **{name: _objects([row[name] for row in rows]) for name in texts},
        }

    def _row(self, name: str, result: Result | ImageError) -> dict[str, Any]:
        if isinstance(result, ImageError):
            nothing = dict.fromkeys(self.predictor.task.encoded_arrays, b'')
            message = str(result) if str(result).startswith(name) else f'{name}: {result}'
            return {'error': message, 'height': 0, 'width': 0, 'prediction': '', **nothing}
        if self.score_thr is not None:
            result = result.above(self.score_thr)
        height, width = result.picture.shape[:2]
        about = {'error': '', 'height': height, 'width': width}
        return {**about, 'prediction': json.dumps(result.to_dict()), **result.encoded_arrays()}


def _pictures(batch: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each picture, and its path or bytes."""
    lengths = {name: len(column) for name, column in batch.items()}
    if not {PATH, BYTES} & set(lengths):
        raise ConfigError(f'batch: expected a column {PATH!r} or {BYTES!r}, found {list(lengths)}')
    if len(set(lengths.values())) > 1:
        raise ConfigError(f'batch: expected columns of one length, found {lengths}')
    count = lengths.get(PATH, lengths.get(BYTES, 0))
    paths, contents = (batch.get(name, [None] * count) for name in (PATH, BYTES))
    for place, (path, content) in enumerate(zip(paths, contents, strict=True)):
        named = isinstance(path, str | os.PathLike)
        has_bytes = isinstance(content, ENCODED) or not named
        yield str(path) if named else f'row {place}', (content if has_bytes else path)


def _image_of(picture: tuple[str, Any]) -> Any:
    """The path or the bytes of a picture.

    Raises:
        ImageError: It is something else, such as None or NaN.
    """
    image = picture[1]
    if isinstance(image, ENCODED):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return image
    kind = type(image).__name__
    raise ImageError(f'expected a path or the bytes of a picture file, found {kind}')


def _objects(values: list[Any]) -> np.ndarray:
    """A column of Python objects; numpy would cut what ends in zero bytes."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
