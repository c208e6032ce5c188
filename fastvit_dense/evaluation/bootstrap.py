"""Intervals of numbers: the bootstrap over images.

Images are drawn anew, with replacement, as many as there are, and the numbers computed from each
such resample. Between the quantiles of what comes out lies the interval.

A number that is no plain mean is off in resamples: images that are drawn twice bear each other
out, and AP rises. The mean shift of the resamples against the number itself estimates that, and
is taken off the quantiles; so an interval lies about the number that it belongs to.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .statistics import Statistics

RESAMPLES = 1000
LEVEL = 0.95
AT_ONCE = 50


@dataclass(frozen=True)
class Interval:
    """Bounds of a number, or of a difference.

    Args:
        low: Lower end.
        high: Upper end.
        level: Share of such intervals that hold what is looked for.
        resamples: Number of resamples.
    """

    low: float
    high: float
    level: float = LEVEL
    resamples: int = RESAMPLES

    @property
    def excludes_zero(self) -> bool:
        """Tell whether a difference is shown: 0 lies outside."""
        return self.low > 0 or self.high < 0


def resample_weights(
    images: int, resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[np.ndarray]:
    """Yield weights (B, `images`), `AT_ONCE` resamples at a time; the same for a seed."""
    random = np.random.default_rng(seed)
    for start in range(0, resamples, AT_ONCE):
        count = min(AT_ONCE, resamples - start)
        drawn = random.integers(images, size=(count, images))
        drawn += images * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=count * images)
        yield counts.reshape(count, images).astype(np.float64)


def uncertainty(
    statistics: Statistics, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Interval of each number; none for those that are undefined, nor for a single image."""
    if len(statistics.ids) < 2:
        return {}
    found = _numbers(statistics, resamples, seed)
    return {
        name: _interval(values[0], values[1:], resamples, (0.0, statistics.highest))
        for name, values in found.items()
        if np.isfinite(values[0])
    }


def differences(
    first: Statistics, second: Statistics, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval] | None:
    """Interval of `second` minus `first` of each number, both from the same resamples.

    Returns:
        By metric; None where the images are not the same.
    """
    if len(first.ids) < 2 or sorted(first.ids.tolist()) != sorted(second.ids.tolist()):
        return None
    places = {image: place for place, image in enumerate(first.ids.tolist())}
    order = np.array([places[image] for image in second.ids.tolist()])
    ours = _numbers(first, resamples, seed)
    theirs = _numbers(second, resamples, seed, order)
    changes = {name: theirs[name] - ours[name] for name in ours if name in theirs}
    return {
        name: _interval(values[0], values[1:], resamples, (-np.inf, np.inf))
        for name, values in changes.items()
        if np.isfinite(values[0])
    }


def _numbers(
    statistics: Statistics, resamples: int, seed: int, order: Any = slice(None)
) -> dict[str, np.ndarray]:
    """Numbers (1 + B,): those of the images themselves, then those of the resamples."""
    images = len(statistics.ids)
    parts = [statistics.numbers(np.ones((1, images)))]
    batches = (weights[:, order] for weights in resample_weights(images, resamples, seed))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        parts += pool.map(statistics.numbers, batches)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _interval(
    value: float, resampled: np.ndarray, resamples: int, bounds: tuple[float, float]
) -> Interval:
    resampled = resampled[np.isfinite(resampled)]
    rest = (1 - LEVEL) / 2
    shift = resampled.mean() - value
    ends = np.quantile(resampled, [rest, 1 - rest]) - shift
    low, high = np.clip(ends.round(12), *bounds).tolist()  # of rounding nothing is shown
    return Interval(low, high, LEVEL, resamples)
