"""Networks side by side: every network in every way of running it, timed in turns."""

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.backends import TORCH_BACKENDS, Setup, make_call, to_arrays
from benchmarks.machine import (
    DTYPES,
    BenchmarkError,
    count_traffic,
    describe_machine,
    measure_bandwidth,
    measure_matrix_peak,
)
from benchmarks.roofline import Operator, count_operators, roofline_seconds
from benchmarks.timing import Timing, time_in_turns
from fastvit_dense.backbones.macs import count_macs
from fastvit_dense.errors import FastViTDenseError
from fastvit_dense.graphs.agreement import relative_error


@dataclass(frozen=True)
class Network:
    """One network in one form.

    Attributes:
        name: Of the model.
        form: 'train', 'folded', or 'only' where there is nothing to fold.
        build: Called with the image size; returns a module in eval mode with random weights.
    """

    name: str
    form: str
    build: Callable[[int], nn.Module]


@dataclass(frozen=True)
class Schedule:
    """Sizes, device and length of a measurement.

    Attributes:
        sizes: Heights, which are the widths too, or pairs of height and width.
        batch_sizes: Images in a call.
        device: 'cpu' or 'cuda'.
        rounds: At most, for each size and batch size.
        seconds: Of timing, for each size and batch size, after which no new round starts.
        longest: Seconds of a call above which a row is not timed.
    """

    sizes: Sequence[int | tuple[int, int]] = (512,)
    batch_sizes: Sequence[int] = (1,)
    device: str = 'cpu'
    rounds: int = 20
    seconds: float = 60.0
    longest: float = 60.0

    def check(self) -> None:
        """Raise BenchmarkError where a value is out of its range."""
        for name, values, least in (
            ('size', [min(height_and_width(size)) for size in self.sizes], 32),
            ('batch size', self.batch_sizes, 1),
            ('rounds', [self.rounds], 1),
        ):
            for value in values:
                if value < least:
                    raise BenchmarkError(f'{name} is {value}, expected {least} or more')
        if not self.seconds > 0:
            raise BenchmarkError(f'seconds is {self.seconds}, expected more than 0')
        if torch.device(self.device).type == 'cuda' and not torch.cuda.is_available():
            raise BenchmarkError(f'device is {self.device!r}, but PyTorch sees no GPU')


def height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """Both sides of an image."""
    return (size, size) if isinstance(size, int) else size


def setups_of(
    backends: Iterable[str], precisions: Iterable[str], layouts: Iterable[str]
) -> list[Setup]:
    """All combinations; runtimes other than PyTorch choose the layout of their tensors."""
    return [
        Setup(backend, precision, layout)
        for backend in backends
        for precision in precisions
        for layout in (layouts if backend in TORCH_BACKENDS else ('contiguous',))
    ]


def compare_networks(
    networks: Sequence[Network],
    setups: Sequence[Setup],
    schedule: Schedule,
    reference: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Time every network in every setup, all of one size and batch size in the same rounds.

    What cannot be run is a row with the reason, and the others go on.

    Args:
        networks: What to run.
        setups: How to run it.
        schedule: How long, on which sizes.
        reference: The start of a row's label ('sa24', 'sa24/folded/eager'): the others are told
            as how many times faster. By default the first row.
        progress: Called with a line for every row that is prepared.

    Returns:
        JSON-able: `machine`, `peaks` (multiply-accumulates and bytes per second, measured),
        `reference` and `rows`; see `_row`.

    Raises:
        BenchmarkError: A value of the schedule out of its range, or an unknown reference.
    """
    schedule.check()
    labels = [f'{n.name}/{n.form}/{setup.label}' for n in networks for setup in setups]
    if not labels:
        raise BenchmarkError('nothing to measure: no model, or no way to run one')
    chosen = next((x for x in labels if reference is None or x.startswith(reference)), None)
    if chosen is None:
        raise BenchmarkError(f'reference is {reference!r}, expected one of {", ".join(labels)}')
    machine = describe_machine(schedule.device)
    peaks = {'bytes_per_second': measure_bandwidth(schedule.device)}
    precisions = dict.fromkeys(setup.precision for setup in setups)
    for precision in (p for p in precisions if p in DTYPES):
        peaks[f'macs_per_second_{precision}'] = measure_matrix_peak(schedule.device, precision)
    rows = []
    for size in schedule.sizes:
        for batch_size in schedule.batch_sizes:
            progress(f'{"x".join(map(str, height_and_width(size)))}, batch {batch_size}')
            rows += _compare(networks, setups, schedule, size, batch_size, chosen, peaks, progress)
    return {
        'machine': machine,
        'peaks': peaks,
        'protocol': asdict(schedule),
        'reference': chosen,
        'rows': rows,
    }


class _Built:
    """A network of one size, its costs, and its outputs in PyTorch, each when asked for."""

    def __init__(self, network: Network, images: Tensor) -> None:
        torch.manual_seed(0)
        self.module = network.build(images.shape[-1]).eval()
        self.images = images
        self.parameters = sum(p.numel() for p in self.module.parameters())
        one = images[:1].to('meta')
        meta = copy.deepcopy(self.module).to('meta')
        self.macs = count_macs(meta, one)
        self.traffic = count_traffic(meta, images.to('meta'))
        self.operators = count_operators(meta, images.to('meta'))

    @cached_property
    def outputs(self) -> list[np.ndarray]:
        return to_arrays(make_call(self.module, self.images, Setup())())


def _compare(
    networks: Sequence[Network],
    setups: Sequence[Setup],
    schedule: Schedule,
    size: int | tuple[int, int],
    batch_size: int,
    reference: str,
    peaks: dict[str, float],
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    shape = batch_size, 3, *height_and_width(size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(schedule.device)
    rows, calls, operators = [], {}, {}
    for network in networks:
        built = None
        for setup in setups:
            label = f'{network.name}/{network.form}/{setup.label}'
            row = _row(network, setup, label, size, batch_size)
            rows.append(row)
            try:
                built = built or _Built(network, images)
                row['parameters'], row['macs'] = built.parameters, built.macs
                row['eager_bytes'], operators[label] = built.traffic, built.operators
                call = make_call(built.module, images, setup)
                start = time.perf_counter()
                outputs = call()
                taken = time.perf_counter() - start
                row['error'] = largest_error(to_arrays(outputs), built.outputs)
                if taken > schedule.longest:
                    raise BenchmarkError(f'a call takes {taken:.0f} seconds')
                calls[label] = call
            except Exception as error:
                row['reason'] = reason_of(error)
            progress(f'  {label}' + (f': {row["reason"]}' if row['reason'] else ''))
    timings = time_in_turns(calls, rounds=schedule.rounds, seconds=schedule.seconds)
    for row in rows:
        if row['label'] in timings:
            timing, other = timings[row['label']], timings.get(reference)
            _fill(row, timing, other, peaks, operators[row['label']])
    return rows


def _row(
    network: Network, setup: Setup, label: str, size: int | tuple[int, int], batch_size: int
) -> dict[str, Any]:
    """A row without results.

    `seconds` is the median of the rounds, `quartiles` and `rounds` theirs, `spread` the
    distance of the quartiles over the median; `times_faster` than the reference, the median of
    the ratios within a round, and their quartiles. `macs` are one image's, `eager_bytes` a
    call's traffic without fusion. `error` is the largest deviation of an output from eager fp32
    over that output's root mean square. `matrix_share` and `bandwidth_share` (of eager rows)
    are of the machine's measured peaks, and `times_roofline` is the time over the bound of
    `roofline_seconds`. `reason` says why a row has no time.
    """
    empty = ('parameters', 'macs', 'eager_bytes', 'error', 'seconds', 'quartiles', 'spread')
    empty += ('rounds', 'images_per_second', 'times_faster', 'times_faster_quartiles')
    empty += ('matrix_share', 'bandwidth_share', 'times_roofline', 'reason')
    return {
        'label': label,
        'model': network.name,
        'form': network.form,
        **asdict(setup),
        'size': size,
        'batch_size': batch_size,
        **dict.fromkeys(empty),
    }


def _fill(
    row: dict[str, Any],
    timing: Timing,
    reference: Timing | None,
    peaks: dict[str, float],
    operators: list[Operator],
) -> None:
    row |= timing.columns(reference)
    row['images_per_second'] = row['batch_size'] / timing.median
    peak, bandwidth = peaks.get(f'macs_per_second_{row["precision"]}'), peaks['bytes_per_second']
    if peak is None:  # int8
        return
    bytes_per_number = DTYPES[row['precision']].itemsize
    row['matrix_share'] = row['batch_size'] * row['macs'] / timing.median / peak
    if row['backend'] == 'eager':  # `eager_bytes` are those of float32
        bytes_per_second = row['eager_bytes'] * bytes_per_number / 4 / timing.median
        row['bandwidth_share'] = bytes_per_second / bandwidth
    bound = roofline_seconds(operators, peak, bandwidth, bytes_per_number)
    row['times_roofline'] = timing.median / bound


def largest_error(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest deviation of an output over its root mean square, of all outputs the worst.

    Raises:
        BenchmarkError: Other shapes, or values that are not finite.
    """
    shapes = [array.shape for array in found], [array.shape for array in expected]
    if shapes[0] != shapes[1]:
        raise BenchmarkError(f'outputs have shapes {shapes[0]}, expected {shapes[1]}')
    if not all(np.isfinite(array).all() for array in found):
        raise BenchmarkError('outputs are not finite')
    return max(relative_error(theirs, ours) for ours, theirs in zip(found, expected, strict=True))


def reason_of(error: Exception) -> str:
    """The first line of an error, in the length of a table's cell."""
    text = ' '.join(str(error).strip().splitlines()[:1]) or type(error).__name__
    if not isinstance(error, FastViTDenseError):
        text = f'{type(error).__name__}: {text}'
    return text if len(text) <= 160 else text[:157] + '...'
