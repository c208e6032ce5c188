"""Two ways of doing the same on the same data: time, memory, difference."""

import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any


def measured(prepare: Callable, run: Callable, *args: Any) -> tuple[Any, dict[str, float]]:
    """Call `run(prepare(*args))` in a process of its own.

    Returns:
        What `run` returned, and its wall time, the process's peak memory and by how much `run`
        raised it.
    """
    context = multiprocessing.get_context('spawn')
    with context.Pool(1) as pool:
        return pool.apply(_measure, (prepare, run, args))


def _measure(prepare: Callable, run: Callable, args: tuple) -> tuple[Any, dict[str, float]]:
    inputs = prepare(*args)
    before = _peak_mb()
    start = time.perf_counter()
    result = run(inputs)
    seconds = time.perf_counter() - start
    peak = _peak_mb()
    return result, {'seconds': seconds, 'peak_mb': peak, 'over_mb': peak - before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compared(
    ours: dict, other: dict, difference: float, against: str, former: dict | None = None
) -> dict[str, Any]:
    """A row of the results; see `benchmark_evaluation`.

    Args:
        ours: Cost of our code, with `seconds`.
        other: That of what people use instead.
        difference: The largest between the results.
        against: Words for the other.
        former: Cost of our code as it was before, where it is compared.
    """
    row = {
        'against': against,
        'ours': ours,
        'other': other,
        'speedup': other['seconds'] / ours['seconds'],
        'largest_difference': difference,
    }
    if former is not None:
        row |= {'former': former, 'over_former': former['seconds'] / ours['seconds']}
    return row
