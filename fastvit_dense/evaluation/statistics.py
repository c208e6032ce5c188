"""Statistics of each image, from which an evaluation's numbers follow for any resample.

Files hold them as NumPy arrays beside a report.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .coco_matches import RECALLS, Matches

GROUP = 'group '  # how the names of groups begin in a file
CATEGORIES = 100_000  # of a file at most; memory is taken for each


class Statistics(ABC):
    """Sufficient statistics of the images of an evaluation.

    Attributes:
        ids: (N,) text by which an image is known.
        highest: The highest value that its numbers can have.
    """

    ids: np.ndarray
    highest: ClassVar[float]

    @abstractmethod
    def numbers(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics of resamples.

        Args:
            weights: (B, N) how often each image is in each resample.

        Returns:
            (B,) by the metric's name, NaN where it is undefined.
        """

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays, for `from_arrays`; a name with a dot is that of a part."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> 'Statistics':
        """The statistics of which these are the `arrays`."""


@dataclass
class Means(Statistics):
    """Numbers that are means over the images.

    Args:
        ids: (N,) text.
        names: (M,) metrics.
        values: (N, M) of each image.
    """

    ids: np.ndarray
    names: np.ndarray
    values: np.ndarray
    highest: ClassVar[float] = np.inf

    def numbers(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Statistics`."""
        means = weights @ self.values / weights.sum(axis=1, keepdims=True)
        return dict(zip(self.names.tolist(), means.T, strict=True))

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Statistics`."""
        return {'ids': self.ids, 'names': self.names, 'values': self.values}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> 'Means':
        """See `Statistics`."""
        return cls(arrays['ids'], arrays['names'], arrays['values'])


@dataclass
class Confusions(Statistics):
    """Pixels by class: hit, true and predicted.

    Args:
        ids: (N,) text.
        hits: (N, C) pixels.
        truth: (N, C).
        predicted: (N, C).
        undefined: Share that counts for a class without pixels; NaN: it is left out.
    """

    ids: np.ndarray
    hits: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    undefined: float = np.nan
    highest: ClassVar[float] = 100.0

    def numbers(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Statistics`: `mIoU`, `mAcc`, `mDice` and `aAcc`, percent."""
        hits, truth, predicted = (
            weights @ counts.astype(np.float64)
            for counts in (self.hits, self.truth, self.predicted)
        )
        numbers = {
            'mIoU': self._mean(hits, truth + predicted - hits),
            'mAcc': self._mean(hits, truth),
            'mDice': self._mean(2 * hits, truth + predicted),
            'aAcc': _ratio(hits.sum(axis=1), truth.sum(axis=1)),
        }
        return {name: 100 * shares for name, shares in numbers.items()}

    def _mean(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        shares = _ratio(part, whole)
        if not np.isnan(self.undefined):
            shares = np.where(np.isnan(shares), self.undefined, shares)
        return _mean_defined(shares)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Statistics`."""
        return dict(vars(self)) | {'undefined': np.array(self.undefined)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> 'Confusions':
        """See `Statistics`."""
        fields: dict[str, Any] = {**arrays, 'undefined': float(arrays['undefined'])}
        return cls(**fields)


@dataclass
class Segments(Statistics):
    """Segments of panoptic segmentation by class.

    Args:
        ids: (N,) text.
        overlaps: (N, C) sums of the IoU of the segments that are matched.
        counts: (3, N, C) segments that are matched, found where none is, and missed.
        things: (C,) bool, whether the class is one of things, or of stuff.
    """

    ids: np.ndarray
    overlaps: np.ndarray
    counts: np.ndarray
    things: np.ndarray
    highest: ClassVar[float] = 100.0

    def numbers(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Statistics`: `PQ`, `SQ`, `RQ` of all, `_th` of things, `_st` of stuff, percent."""
        overlaps = weights @ self.overlaps
        hits, extra, missed = (weights @ counts.astype(np.float64) for counts in self.counts)
        whole = hits + (extra + missed) / 2
        of_hits = np.divide(overlaps, hits, out=np.zeros_like(overlaps), where=hits > 0)
        qualities = {
            'PQ': _ratio(overlaps, whole),
            'SQ': np.where(whole > 0, of_hits, np.nan),
            'RQ': _ratio(hits, whole),
        }
        every = np.ones_like(self.things)
        groups = {'': every, '_th': self.things, '_st': ~self.things}
        return {
            f'{name}{ending}': 100 * _mean_defined(of_class[:, chosen])
            for ending, chosen in groups.items()
            for name, of_class in qualities.items()
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Statistics`."""
        return dict(vars(self))

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> 'Segments':
        """See `Statistics`."""
        return cls(**arrays)


@dataclass
class Detections(Statistics):
    """Matches of detections, for AP.

    Args:
        ids: (N,) text, in the order of the images' numbers.
        kinds: Matches by kind of overlap, such as `'bbox'`.
        thresholds: (T,) IoU thresholds of the matches.
        categories: Number of categories.
        names: Names of AP over all thresholds, at 0.5 and at 0.75.
        groups: Numbers of the categories of further means over all thresholds, by name.
    """

    ids: np.ndarray
    kinds: dict[str, Matches]
    thresholds: np.ndarray
    categories: int
    names: tuple[str, str, str] = ('mAP', 'mAP_50', 'mAP_75')
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    highest: ClassVar[float] = 1.0

    def numbers(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Statistics`: by default `{kind}_mAP`, `_mAP_50` and `_mAP_75`."""
        found = {}
        for kind, precision in self._precisions.items():
            of_each = precision.of_resamples(weights)  # (B, T, K)
            found[f'{kind}_{self.names[0]}'] = _mean_defined(of_each.reshape(len(weights), -1))
            for name, threshold in zip(self.names[1:], (0.5, 0.75), strict=True):
                at = np.flatnonzero(self.thresholds == threshold)
                if at.size:
                    found[f'{kind}_{name}'] = _mean_defined(of_each[:, at[0]])
            for name, chosen in self.groups.items():
                of_group = of_each[:, :, chosen].reshape(len(weights), -1)
                found[f'{kind}_{name}'] = _mean_defined(of_group)
        return found

    @cached_property
    def _precisions(self) -> dict[str, 'AveragePrecision']:
        return {
            kind: AveragePrecision(matches, len(self.ids), self.categories, len(self.thresholds))
            for kind, matches in self.kinds.items()
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Statistics`."""
        arrays = {'ids': self.ids, 'thresholds': self.thresholds}
        arrays['categories'] = np.array(self.categories)
        arrays['names'] = np.array(self.names)
        arrays |= {f'{GROUP}{name}': chosen for name, chosen in self.groups.items()}
        for kind, matches in self.kinds.items():
            for name, values in vars(matches).items():
                packed = np.packbits(values, axis=1) if values.dtype == bool else values
                arrays[f'{kind}.{name}'] = packed
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> 'Detections':
        """See `Statistics`."""
        kinds: dict[str, dict[str, Any]] = {}
        for name, values in arrays.items():
            kind, dot, part = name.rpartition('.')
            if dot:
                kinds.setdefault(kind, {})[part] = values
        for fields in kinds.values():
            for name in ('matched', 'ignored'):
                bits = np.unpackbits(fields[name], axis=1, count=len(fields['scores']))
                fields[name] = bits.astype(bool)
            starts = fields['starts']
            if (np.diff(starts) < 0).any() or starts[0] or starts[-1] != len(fields['scores']):
                raise ValueError('starts: expected ascending, up to the number of scores')
        matches = {kind: Matches(**fields) for kind, fields in kinds.items()}
        categories = int(arrays['categories'])
        if not 0 <= categories <= CATEGORIES:
            raise ValueError(f'expected at most {CATEGORIES:,} categories, found {categories:,}')
        found = cls(arrays['ids'], matches, arrays['thresholds'], categories)
        if 'names' in arrays:  # files of versions before have none
            found.names = tuple(arrays['names'].tolist())
        found.groups = {
            name.removeprefix(GROUP): chosen
            for name, chosen in arrays.items()
            if name.startswith(GROUP)
        }
        return found


class AveragePrecision:
    """AP of each threshold and category over weighted images.

    The precision at a recall is the highest from there on, and only detections that are matched
    raise it: so only these are looked at, and all others are counted.

    Args:
        matches: Of all detections.
        images: Number of images N.
        categories: Number of categories K.
        thresholds: Number of thresholds T that are scored; the matches may have more.
    """

    def __init__(self, matches: Matches, images: int, categories: int, thresholds: int) -> None:
        self.shape = (thresholds, categories)
        pairs = matches.pairs
        categories_of, images_of = matches.categories[pairs], matches.images[pairs]
        order = np.lexsort((-matches.scores, categories_of))
        categories_of, self.images = categories_of[order], images_of[order]
        matched, ignored = (kind[:thresholds, order] for kind in (matches.matched, matches.ignored))
        self.objects = np.zeros((images, categories))
        np.add.at(self.objects, (matches.images, matches.categories), matches.objects)

        # rows (threshold, detection) that are matched, and those that are ignored
        level, self.hits = np.nonzero(matched & ~ignored)
        ignored_level, ignored_hits = np.nonzero(ignored)
        self.ignored_images = self.images[ignored_hits]
        self.segments = level * categories + categories_of[self.hits]
        first = np.searchsorted(categories_of, np.arange(categories))
        self.before = first[categories_of[self.hits]]
        places = ignored_level * (len(order) + 1) + ignored_hits
        self.ignored_upto = np.searchsorted(places, level * (len(order) + 1) + self.hits)
        self.ignored_before = np.searchsorted(places, level * (len(order) + 1) + self.before)
        changes = np.diff(self.segments, prepend=-1) != 0
        self.starts = np.flatnonzero(changes)
        self.start_of = self.starts[np.cumsum(changes) - 1] if len(changes) else self.starts
        # reversed, each segment lies above those before it: maxima do not leave a segment
        self.heights = 2.0 * (np.cumsum(changes[::-1]) - changes[::-1])[::-1]

    def of_resamples(self, weights: np.ndarray) -> np.ndarray:
        """AP (B, T, K), NaN without objects, of images weighted (B, N) times."""
        objects = weights @ self.objects
        found = np.full((len(weights), *self.shape), np.nan)
        for values, row, count in zip(found, weights, objects, strict=True):
            values[:, count > 0] = 0
            self._fill(values, row, count)
        return found

    def _fill(self, values: np.ndarray, weights: np.ndarray, objects: np.ndarray) -> None:
        if not len(self.hits):
            return
        found = _sums(weights[self.images])
        ignored = _sums(weights[self.ignored_images])
        hits = _sums(weights[self.images[self.hits]])
        correct = hits[1:] - hits[self.start_of]
        total = found[self.hits + 1] - found[self.before]
        total -= ignored[self.ignored_upto] - ignored[self.ignored_before]
        precision = np.divide(correct, total, out=np.zeros_like(total), where=total > 0)
        precision += self.heights
        precision = np.maximum.accumulate(precision[::-1])[::-1] - self.heights
        whole = objects[self.segments % self.shape[1]]
        recall = np.divide(correct, whole, out=np.zeros_like(whole), where=whole > 0)
        # how many of the 101 recalls are reached, as `searchsorted` tells in more time
        last = np.floor(100 * recall + 1e-9).astype(np.int64)
        last -= RECALLS[last] > recall
        reached = np.where(correct > 0, last + 1, 0)
        gained = np.diff(reached, prepend=0)
        gained[self.starts] = reached[self.starts]
        sums = np.add.reduceat(precision * gained, self.starts) / 101
        level, category = np.divmod(self.segments[self.starts], self.shape[1])
        defined = objects[category] > 0
        values[level[defined], category[defined]] = sums[defined]


def image_names(ids: Sequence[Any]) -> np.ndarray:
    """Text by which images are known on any machine: of paths the part that differs.

    Args:
        ids: Numbers or paths; places are taken where they are not unique.
    """
    if len(set(ids)) < len(ids):
        ids = range(len(ids))
    names = [str(i) for i in ids]
    if all(os.path.isabs(name) for name in names):
        top = os.path.commonpath([os.path.dirname(name) for name in names]) if names else ''
        names = [Path(os.path.relpath(name, top)).as_posix() for name in names]
    return np.array(names, dtype=np.str_)


def _sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(values)])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """Means (B,) of what is not NaN, NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1).astype(float))
