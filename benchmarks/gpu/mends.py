"""Mends for the slow operators of SA24 on a GPU, each beside what stands, in the same rounds.

Every way is run under one CUDA graph of several calls, so that launches do not count, on inputs
that together exceed the caches, and is compared with float64.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.backends import captured
from benchmarks.gpu.job import Job
from benchmarks.gpu.mend_ways import CASES, MAKE, QUICK_CASES, STANDS, Case, Function
from benchmarks.machine import measure_bandwidth
from benchmarks.timing import Timing, time_in_turns

ERROR = 0.01  # of ||out - float64|| / ||float64||, in bf16, where rounding alone is 0.002
CALLS = 16  # of one graph, at least
ROUNDS = 7


def measure(job: Job) -> None:
    """Time the ways of every case; then tell what each operator's best ways would save."""
    job.found['peak_bytes_per_second'] = measure_bandwidth(job.device, 16 if job.quick else None)
    cases = QUICK_CASES if job.quick else CASES
    for number, case in enumerate(cases):
        name = f'{case.operator} {"x".join(map(str, case.shape))}'
        if job.left() < 8 and not job.quick:
            job.add({'name': name, 'reason': 'no time left'})
            continue
        seconds = min(5.0, job.left() / (2 * (len(cases) - number)))
        job.attempt(name, _compare, job, case, seconds)
    job.add(*savings(job.found['rows']))


def _compare(job: Job, case: Case, seconds: float) -> None:
    """Add a row for every way of one case."""
    work = MAKE[case.operator](case, job.device)
    expected = work.reference(*(tensor.double() for tensor in work.sets[-1]))
    rows: dict[str, dict[str, Any]] = {}
    calls: dict[str, Callable[[], Tensor]] = {}
    limit = ERROR
    for name, make in work.makers.items():
        shape = 'x'.join(map(str, case.shape))
        rows[name] = {'name': name, 'operator': case.operator, 'shape': shape, 'calls': case.calls}
        try:
            call = repeated(make(), work.sets, job.device)
            call().fill_(torch.nan)  # what a call leaves out stays seen
            rows[name]['error'] = error = relative_error(call(), expected)
        except Exception as failure:
            rows[name]['reason'] = f'{type(failure).__name__}: {failure}'[:300]
            continue
        if name == STANDS:
            limit = max(limit, error)
        if error <= limit:
            calls[name] = call
        else:
            rows[name]['reason'] = f'wrong: an error of {error:.2g}, expected at most {limit:.2g}'
    count = graph_calls(work.sets)
    timings = {
        name: Timing(tuple(value / count for value in timing.rounds))
        for name, timing in time_in_turns(calls, rounds=ROUNDS, seconds=seconds, warm_up=0).items()
    }
    for name, timing in timings.items():
        rows[name] |= timing.columns(timings.get(STANDS))
        rows[name]['bytes_per_second'] = rate = work.nbytes / timing.median
        rows[name]['times_floor'] = job.found['peak_bytes_per_second'] / rate
    job.add(*rows.values())


def graph_calls(sets: list[tuple[Tensor, ...]]) -> int:
    """Calls in one graph: every set of inputs equally often."""
    return len(sets) * -(-CALLS // len(sets))


def repeated(function: Function, sets: list[tuple[Tensor, ...]], device: str) -> Function:
    """Return a call that runs `graph_calls` calls of a function and returns the last output."""

    def run() -> Tensor:
        with torch.no_grad():
            for _ in range(graph_calls(sets) // len(sets)):
                for inputs in sets:
                    out = function(*inputs)
        return out

    return captured(run) if device == 'cuda' else run


def relative_error(out: Tensor, expected: Tensor) -> float:
    """||out - expected|| / ||expected|| in float64; not a number where one is left out."""
    if out.shape != expected.shape:
        raise ValueError(f'the output is {tuple(out.shape)}, expected {tuple(expected.shape)}')
    return float((out.double() - expected).norm() / expected.norm())


def savings(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tell for every operator the seconds of a pass that its fastest ways would save."""
    timed = [row for row in rows if row.get('seconds')]
    for operator in dict.fromkeys(row['operator'] for row in timed):
        stands = saved = 0.0
        best = []
        of_operator = [row for row in timed if row['operator'] == operator]
        for shape in dict.fromkeys(row['shape'] for row in of_operator):
            ways = {row['name']: row for row in of_operator if row['shape'] == shape}
            if STANDS not in ways:
                continue
            fastest = min(ways.values(), key=lambda row: row['seconds'])
            now = ways[STANDS]['seconds']
            stands += fastest['calls'] * now
            saved += fastest['calls'] * (now - fastest['seconds'])
            best.append(f'{shape} {fastest["name"]}')
        yield {
            'name': f'best of {operator}',
            'seconds_as_it_stands': stands,
            'saved_seconds': saved,
            'ways': '; '.join(best),
        }
