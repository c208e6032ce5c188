"""Annotated hands laid over what other files say of them; where they differ, the likely cause.

Other readings of the annotations are tried on the entries that differ; the one that explains them
tells what the files hold instead, block of entries by block.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from .findings import DatasetReport

PROBES = 6  # entries that every other reading is tried on, each time
CAUSES = 8  # other readings that one file may need
SHIFTS = (-2, -1, 1, 2)  # entries by which one file may be moved against another


@dataclass(frozen=True)
class Hypothesis:
    """Another way to read an entry.

    Attributes:
        words: What the annotation then holds.
    """

    words: str


Reading = TypeVar('Reading', bound=Hypothesis)


class Overlay(ABC, Generic[Reading]):
    """Hands from one file and from another one.

    Attributes:
        kind: Of the findings.
        expected: What the files should say, for the messages.
        by: What they were compared with, for the messages.
        right: The reading that is expected.
        tolerance: Metres, the mean distance from which on two hands differ.
        explained: Metres; another reading must come nearer than that.
    """

    kind: str
    expected: str
    by: str
    right: Reading
    tolerance: float
    explained: float

    @abstractmethod
    def distances(self, entries: np.ndarray, reading: Reading) -> np.ndarray:
        """Mean distances (N,) of corresponding points of entries (N,), metres, under a reading."""

    @abstractmethod
    def readings(self, probes: np.ndarray) -> Iterator[Reading]:
        """Yield the other readings to try, the common ones first."""

    @abstractmethod
    def unexplained(self, probes: np.ndarray) -> str:
        """Say what may be wrong with entries that no reading explains."""

    def tell(self, looked_at: np.ndarray, where: str, report: DatasetReport) -> np.ndarray:
        """Note the entries that differ, one error for each cause; return all distances."""
        distances = self.distances(looked_at, self.right)
        bad = looked_at[~(distances < self.tolerance)]
        found = dict(zip(looked_at.tolist(), distances.tolist(), strict=True))
        for words, entries in self._by_cause(bad):
            apart = 1000 * np.array([found[entry] for entry in entries])
            report.error(
                self.kind,
                where,
                f'{_ranges(entries, looked_at)}: expected {self.expected}, found them '
                f'{apart.mean():.1f} mm apart on average (first: {apart[0]:.1f} mm); {words}. '
                f'{len(entries)} of {len(looked_at)} entries looked at, {self.by}',
            )
        return distances

    def _by_cause(self, bad: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield what explains wrong entries, and those entries, until all are told of."""
        left = bad
        for _ in range(CAUSES):
            if not len(left):
                return
            places = np.linspace(0, len(left) - 1, min(PROBES, len(left))).round().astype(int)
            best = self._best_reading(left[places])
            if best is None:
                break
            explained = self.distances(left, best) < self.explained
            yield f'likely cause: {best.words}', left[explained]
            left = left[~explained]
        if len(left):
            yield self.unexplained(left[:PROBES]), left

    def _best_reading(self, probes: np.ndarray) -> Reading | None:
        """The reading that explains most of the entries; None where it explains none."""
        best, best_fit = None, (0, 0.0)
        for reading in self.readings(probes):
            distances = self.distances(probes, reading)
            fit = (int((distances < self.explained).sum()), -float(distances.mean()))
            if fit > best_fit:
                best, best_fit = reading, fit
                if -fit[1] < self.explained / 2:
                    break
        return best


def shift_words(one: str, other: str, shift: int) -> str:
    """Say that entry k of one file belongs to entry k + shift of another one."""
    sign = '-' if shift < 0 else '+'
    return (
        f'entries shifted by {abs(shift)}: {one} of entry k belong to {other} of entry '
        f'k {sign} {abs(shift)}'
    )


def centred(points: np.ndarray) -> np.ndarray:
    """Points (N, V, 3) about their means."""
    return points - points.mean(1, keepdims=True)


def _ranges(entries: np.ndarray, looked_at: np.ndarray) -> str:
    """Entries as blocks of neighbours among those looked at: `entries 0-11, 15`."""
    places = np.searchsorted(looked_at, entries)
    blocks = np.split(entries, np.flatnonzero(np.diff(places) > 1) + 1)
    texts = [f'{block[0]}-{block[-1]}' if len(block) > 1 else f'{block[0]}' for block in blocks]
    more = f' and {len(texts) - 5} more blocks' if len(texts) > 5 else ''
    return f'{"entries" if len(entries) > 1 else "entry"} {", ".join(texts[:5])}{more}'
