"""Hands of a whole photograph: boxes, square crops, left hands mirrored, results in the picture."""

import copy
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from ..datasets.hand_transforms import mirror_hand
from ..errors import ConfigError, DataError, ImageError
from ..results.hands import HandsResult
from .addresses import is_address
from .predictor import Predictor
from .reading import ImageInput

# side of the crop by the longer side of the box: in FreiHAND's pictures there is some room
ROOM = 1.4
MIN_SCORE = 0.3
MANY = 0.1  # share of the boxes from which on they are told


@dataclass(frozen=True)
class HandBox:
    """A hand in a picture.

    Attributes:
        box: x, y, width, height in pixels.
        is_right: Whether it is a right hand.
        score: Of the detector, 0-1.
    """

    box: tuple[float, float, float, float]
    is_right: bool = True
    score: float = 1.0


def predict_hands(
    model: Predictor, image: ImageInput, boxes: Sequence[HandBox], batch_size: int = 8
) -> HandsResult:
    """Predict the hands of a picture.

    Args:
        model: Of the hand task.
        image: A picture.
        boxes: Where its hands are.
        batch_size: Hands at a time.

    Returns:
        One `HandResult` a box, each with the camera of the whole picture, in which it lies where it
        is seen. Without a known camera each hand has an assumed one: its depth is a guess.

    Raises:
        ImageError: The picture cannot be read.
        DataError: A box lies outside of the picture.
    """
    read = model.reader.read(image)
    picture = np.ascontiguousarray(read['img'][..., ::-1])
    rows, columns = picture.shape[:2]
    for x, y, width, height in (hand.box for hand in boxes):
        if x >= columns or y >= rows or x + width <= 0 or y + height <= 0:
            raise DataError(
                f'{read.get("img_path") or "the picture"}: expected boxes inside of its {columns} '
                f'x {rows} pixels, found {[x, y, width, height]}: boxes of another picture?'
            )
    hands: list[Any] = []
    for start in range(0, len(boxes), batch_size):
        some = boxes[start : start + batch_size]
        inputs = [model.reader.transform(_crop(read, box)) for box in some]
        samples = model.run_network(inputs)
        hands += [model.to_result(sample, picture) for sample in samples]
    return HandsResult(hands, picture, tuple(box.score for box in boxes))


def _crop(read: dict, hand: HandBox) -> dict:
    """Input of the pipeline for one hand: a left hand mirrored, the box with room about it."""
    results = copy.deepcopy(read)
    x, y, width, height = hand.box
    side = max(width, height) * ROOM
    middle = x + width / 2, y + height / 2
    if not hand.is_right:
        columns = results['img'].shape[1]
        mirror_hand(results)
        middle = columns - middle[0], middle[1]
    results['box'] = (middle[0] - side / 2, middle[1] - side / 2, side, side)
    return results


class BoxesOfFile:
    """Hands by picture, from what `predict` wrote of a detector.

    Args:
        path: `predictions.jsonl`: a line a picture, with `image`, and `instances` that have
            `bbox` (x, y, width, height), `class` and `score`.

    Raises:
        DataError: It is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, list[HandBox]] = {}
        try:
            with path.open(encoding='utf-8-sig') as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        self._add(line, number)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f'{path}: cannot be read: {error}') from error
        if not self.found:
            raise DataError(f'{path}: expected a line for each picture, found none')

    def _add(self, line: str, number: int) -> None:
        where = f'{self.path}, line {number}'
        try:
            record = json.loads(line)
            items = [(item, item['bbox']) for item in record['instances']]
            picture = _key(record['image'])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise DataError(
                f'{where}: expected "image" and "instances" with "bbox", as '
                '`predict --no-pictures` writes them of a detector'
            ) from None
        if picture in self.found:
            raise DataError(
                f'{where}: expected one line for each picture, with all of its hands, found a '
                f'second one for {record["image"]}'
            )
        hands = []
        for item, bbox in items:
            try:
                hand = _hand_box(item)
            except (ValueError, TypeError) as error:
                raise DataError(
                    f'{where}: expected "bbox" of x, y, width, height and "score", numbers, '
                    f'found bbox {bbox!r:.80}, score {item.get("score", 1.0)!r:.20}'
                ) from error
            x, y, width, height = hand.box
            if max(x + width, y + height) <= 1:
                raise DataError(
                    f'{where}: bbox: expected x, y, width, height in pixels, '
                    f'found {[x, y, width, height]}: shares of the picture?'
                )
            if hand.score >= MIN_SCORE and min(width, height) > 0:
                hands.append(hand)
        self.found[picture] = hands

    def __call__(self, path: Any) -> list[HandBox]:
        """The hands of a picture.

        Raises:
            ImageError: The file does not tell of it.
        """
        if _key(path) not in self.found:
            raise ImageError(
                f'{path}: {self.path} tells nothing of this picture, but of '
                f'{os.path.relpath(next(iter(self.found)))}; give the folder or file that the '
                'detector was given'
            )
        return self.found[_key(path)]


class BoxesOfDetector:
    """Hands by picture, as a detector finds them.

    Args:
        detector: Of the instance task; its classes tell left hands by the word `left`.

    Raises:
        ConfigError: It is of another task.
    """

    def __init__(self, detector: Predictor) -> None:
        if detector.task.name != 'instance':
            raise ConfigError(
                f'--boxes: expected a detector, found a model of {detector.task.name!r}'
            )
        self.detector = detector

    def __call__(self, path: Any) -> list[HandBox]:
        """The hands of a picture.

        Raises:
            ImageError: It cannot be read.
        """
        result: Any = self.detector.predict(path).above(MIN_SCORE)
        found = result.to_dict()['instances']
        return [_hand_box(item) for item in found if min(item['bbox'][2:]) > 0]


def _hand_box(item: Mapping[str, Any]) -> HandBox:
    x, y, width, height = (float(number) for number in item['bbox'])
    score = float(item.get('score', 1.0))
    if not (width >= 0 and height >= 0 and np.isfinite((x, y, width, height, score)).all()):
        raise ValueError('a box without size or place')
    is_right = 'left' not in str(item.get('class', '')).lower()
    return HandBox((x, y, width, height), is_right, score)


def _key(path: Any) -> str:
    """The whole path of a picture, however it is spelled; an address as it is."""
    return path if is_address(path) else os.path.abspath(path)


def _like_corners(box: Sequence[float], rows: int, columns: int) -> bool:
    """Tell whether most of a box lies outside of its picture, but nothing if it were corners."""
    x, y, width, height = box
    if not (0 <= x < width <= columns and 0 <= y < height <= rows):
        return False
    inside = (min(x + width, columns) - max(x, 0)) * (min(y + height, rows) - max(y, 0))
    return inside < width * height / 2


class HandsPredictor:
    """A hand model that finds the hands of whole pictures by their boxes.

    Args:
        model: Of the hand task.
        boxes: Gives the boxes of a picture.
    """

    def __init__(self, model: Predictor, boxes: BoxesOfFile | BoxesOfDetector) -> None:
        self.model, self.boxes = model, boxes

    def pairs(self, images: Any, batch_size: int = 8) -> Any:
        """Do what `Predictor.pairs` does; the hands of a picture are its batch."""
        outside = total = 0
        for image in images:
            try:
                boxes = self.boxes(image)
                result = predict_hands(self.model, image, boxes, batch_size)
            except (ImageError, DataError) as error:
                yield image, ImageError(str(error))
                continue
            size = result.picture.shape[:2]
            outside += sum(_like_corners(hand.box, *size) for hand in boxes)
            total += len(boxes)
            yield image, result
        if outside and outside >= MANY * total:
            print_log(
                f'--boxes: {outside} of {total} boxes lie outside of their picture by more than '
                'half: a bbox is x, y, width, height; are these x, y, right, bottom?',
                'current',
                logging.WARNING,
            )
