"""Timing of things beside each other: in turns, round after round, in one process.

A machine's speed drifts, by its clock, its temperature and its other work. What is timed in turns
meets the same drift, so that the ratio within a round says more than two times from two runs.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

TURN_SECONDS = 0.05  # a turn repeats short calls for so long


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, one value per round: the median of the calls of that turn."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return median(self.rounds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Seconds that a quarter and three quarters of the rounds stay below."""
        low, high = np.quantile(self.rounds, (0.25, 0.75))
        return float(low), float(high)

    @property
    def spread(self) -> float:
        """Distance of the quartiles as a share of the median."""
        low, high = self.quartiles
        return (high - low) / self.median

    def times_faster_than(self, other: 'Timing') -> 'Timing':
        """Ratios of `other`'s seconds to these, round by round.

        Raises:
            ValueError: The two were not timed in the same rounds.
        """
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Timing(tuple(theirs / ours for ours, theirs in pairs))

    def columns(self, reference: 'Timing | None') -> dict[str, Any]:
        """The entries of a row of results, with the ratios to a reference where there is one."""
        ratio = reference and self.times_faster_than(reference)
        return {
            'seconds': self.median,
            'quartiles': list(self.quartiles),
            'spread': self.spread,
            'rounds': list(self.rounds),
            'times_faster': ratio and ratio.median,
            'times_faster_quartiles': ratio and list(ratio.quartiles),
        }


def time_in_turns(
    candidates: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 20,
    seconds: float | None = None,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time every candidate once in every round.

    Before the first round each is called `warm_up` times. In a round each candidate has a turn:
    one call that is not counted (it meets the caches, and the spinning threads, of the candidate
    before it), then calls until `TURN_SECONDS` have gone, at least one. Every round starts with
    another candidate.

    Args:
        candidates: Calls by name. They return when their work is done: a GPU is waited for.
        rounds: How many rounds, at least 1.
        seconds: No new round starts once so much time has gone, but three rounds always run.
        warm_up: Calls of each candidate before the first round.
        clock: Seconds.

    Returns:
        The timings by name, all with the same number of rounds.
    """
    if rounds < 1:
        raise ValueError(f'rounds is {rounds}, expected at least 1')
    for call in candidates.values():
        for _ in range(warm_up):
            call()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    start = clock()
    for index in range(rounds):
        if seconds is not None and index >= 3 and clock() - start >= seconds:
            break
        first = index % max(1, len(names))
        for name in names[first:] + names[:first]:
            times[name].append(_turn(candidates[name], clock))
    return {name: Timing(tuple(values)) for name, values in times.items()}


def _turn(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    call()
    calls: list[float] = []
    while not calls or sum(calls) < TURN_SECONDS:
        start = clock()
        call()
        calls.append(clock() - start)
    return median(calls)
