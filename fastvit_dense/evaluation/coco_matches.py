"""Matches of detections and objects by COCO's rules, of each kind of overlap."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

AREAS = {'all': (0, 1e10), 's': (0, 1024), 'm': (1024, 9216), 'l': (9216, 1e10)}
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
STATE = b'HCSE\x02\x00\x00\x00'  # how the state of hotcoco's StreamingEval begins, with its version
PAIR = np.dtype([('image', '<u8'), ('category', '<u8'), ('scores', '<u4'), ('words', '<u4')])


@dataclass
class Matches:
    """Detections in their pairs of an image and a category, by falling score within each.

    Objects of any size count; only crowds are ignored.

    Args:
        images: (P,) number of the image of each pair.
        categories: (P,) number of its category.
        starts: (P + 1,) where its detections begin and end.
        objects: (P,) objects that count.
        scores: (D,) of the detections.
        matched: (T, D) bool, whether a detection is matched at each IoU threshold.
        ignored: (T, D) bool, whether it counts for nothing there.
    """

    images: np.ndarray
    categories: np.ndarray
    starts: np.ndarray
    objects: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray

    @property
    def pairs(self) -> np.ndarray:
        """(D,) pair of each detection."""
        return np.repeat(np.arange(len(self.images)), np.diff(self.starts))


@dataclass
class Evaluation:
    """The outcome of one kind of overlap.

    Args:
        precision: (T, R, K, A, M) over IoU thresholds, `RECALLS`, categories (ascending by id),
            `AREAS` and limits on the detections; -1 undefined.
        recall: (T, K, A, M).
        thresholds: (T,).
        limits: (M,).
        find_matches: Gives `matches`, with the thresholds of `match_thresholds`.
        match_thresholds: (T,) or one more, so that 0.5 is among them.
    """

    precision: np.ndarray
    recall: np.ndarray
    thresholds: np.ndarray
    limits: list[int]
    find_matches: Callable[[], Matches]
    match_thresholds: np.ndarray

    def __post_init__(self) -> None:
        # pycocotools divides by one detection and 2e-16: a precision of 1 is 1
        self.precision = np.where(self.precision == 1 / (1 + np.spacing(1)), 1.0, self.precision)

    @cached_property
    def matches(self) -> Matches:
        """Matches of all detections up to the highest limit."""
        return self.find_matches()


def with_half(thresholds: np.ndarray) -> np.ndarray:
    """The thresholds, and 0.5 after them where it is missing."""
    return thresholds if 0.5 in thresholds else np.append(thresholds, 0.5)


def read_state(state: bytes) -> Matches:
    """Matches from the saved state of hotcoco's `StreamingEval`.

    A header in JSON is followed by arrays: where the pairs lie, scores, counted objects by pair
    and area, and by pair, from a word on, the bits (area, detection, matched or ignored,
    threshold).

    Raises:
        RuntimeError: It is of another version of the format.
    """
    if not state.startswith(STATE):
        raise RuntimeError(f'state of hotcoco: expected {STATE!r}, found {state[:8]!r}')
    size = int.from_bytes(state[8:16], 'little')
    header = json.loads(state[16 : 16 + size])
    thresholds, areas = len(header['params']['iou_thrs']), len(header['params']['area_ranges'])
    count, position = header['n_pairs'], 16 + size

    def take(dtype: Any, length: int) -> np.ndarray:
        nonlocal position
        values = np.frombuffer(state, dtype, length, position)
        position += values.nbytes
        return values

    pairs = take(PAIR, count + 1)
    scores = take('<f8', header['n_scores'])
    objects = take('<u4', count * areas).reshape(count, areas)[:, 0]
    bits = take(np.uint8, 8 * header['n_words'])

    starts = pairs['scores'].astype(np.int64)
    of_detection = np.repeat(np.arange(count), np.diff(starts))
    places = 64 * pairs['words'].astype(np.int64)[of_detection]  # of all objects: the first area
    places += 2 * thresholds * (np.arange(len(scores)) - starts[of_detection])
    kinds = np.empty((2, thresholds, len(scores)), dtype=bool)
    for kind, threshold in np.ndindex(2, thresholds):
        kinds[kind, threshold] = bits[places >> 3] >> (places & 7) & 1
        places += 1
    return Matches(
        pairs['image'][:-1].astype(np.int64),
        pairs['category'][:-1].astype(np.int64),
        starts,
        objects.astype(np.int64),
        scores,
        *kinds,
    )
