"""Parts of a run that each have a process and a time limit of their own."""

import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError

GRACE = 5.0  # seconds after its limit until a part is stopped


@dataclass(frozen=True)
class Part:
    """A module whose `measure` is called with a `Job`, for a share of the time."""

    name: str
    module: str
    share: float


# in order of value: what an earlier part leaves of its time goes to the later ones
PARTS = (
    Part('backbones', 'benchmarks.gpu.backbones', 0.29),
    Part('training_step', 'benchmarks.gpu.training_step', 0.17),
    Part('mends', 'benchmarks.gpu.mends', 0.12),
    Part('camvid', 'benchmarks.gpu.camvid', 0.17),
    Part('hands', 'benchmarks.gpu.hands', 0.13),
    Part('prediction', 'benchmarks.gpu.prediction', 0.12),
)


@dataclass
class Job:
    """Settings of a part, and the file that its rows go to.

    Attributes:
        path: JSON file, written anew with every row.
        seconds: Time limit of the part.
        device: 'cuda' or 'cpu'.
        quick: Tiny sizes: whether everything runs, not how fast.
        data: Folder of CamVid in SegNet's layout (`images/train/*.jpg`, `masks/train/*.png`), or
            None.
    """

    path: Path
    seconds: float
    device: str = 'cuda'
    quick: bool = False
    data: Path | None = None
    found: dict[str, Any] = field(default_factory=lambda: {'rows': []})
    start: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Seconds until the limit."""
        return self.seconds - (time.monotonic() - self.start)

    def add(self, *rows: dict[str, Any]) -> None:
        """Keep rows, and show them."""
        self.found['rows'] += rows
        self.save()
        for row in rows:
            print('   ', ', '.join(f'{k} {_short(v)}' for k, v in row.items() if _shown(v)))

    def save(self) -> None:
        """Write the file; it is whole at any time."""
        beside = self.path.with_suffix('.part')
        beside.write_text(json.dumps(self.found, indent=1) + '\n')
        os.replace(beside, self.path)

    def attempt(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function; what fails is a row with the reason, and the others go on."""
        try:
            return function(*args)
        except Exception as error:
            traceback.print_exc()
            self.add({'name': name, 'reason': f'{type(error).__name__}: {error}'[:300]})
            return None


def _shown(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ''


def _short(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def run_parts(
    minutes: float,
    out: Path,
    names: Sequence[str] = (),
    device: str = 'cuda',
    quick: bool = False,
    data: Path | None = None,
) -> dict[str, Any]:
    """Run the parts one after another, each in a process that is stopped at its limit.

    Args:
        minutes: For all of them.
        out: Folder; every part writes `NAME.json` as it goes, and at the end stands `gpu.json`.
        names: Of `PARTS`; by default all.
        device: 'cuda' or 'cpu'.
        quick: See `Job`.
        data: See `Job`.

    Returns:
        The machine, and under 'parts' for each what it found and how it ended.

    Raises:
        BenchmarkError: An unknown part, no minutes, or no GPU.
    """
    known = [part.name for part in PARTS]
    for name in names:
        if name not in known:
            raise BenchmarkError(f'unknown part {name!r}, expected of {", ".join(known)}')
    if not minutes > 0:
        raise BenchmarkError(f'minutes is {minutes}, expected more than 0')
    chosen = [part for part in PARTS if not names or part.name in names]
    machine = _machine(device)
    out.mkdir(parents=True, exist_ok=True)
    shares = sum(part.share for part in chosen)
    start, found = time.monotonic(), {}
    for part in chosen:
        left = 60 * minutes - (time.monotonic() - start)
        job = Job(out / f'{part.name}.json', left * part.share / shares, device, quick, data)
        shares -= part.share
        print(f'{part.name}: at most {max(0, job.seconds):.0f} s', flush=True)
        ended = _in_process(part, job) if job.seconds > 0 else 'left out: no time'
        read = json.loads(job.path.read_text()) if job.path.is_file() else {'rows': []}
        found[part.name] = {'ended': ended, **read}
        print(f'{part.name}: {ended}', flush=True)
    results = {'machine': machine, 'minutes': minutes, 'quick': quick, 'parts': found}
    (out / 'gpu.json').write_text(json.dumps(results, indent=1) + '\n')
    return results


def _machine(device: str) -> dict[str, Any]:
    """Describe the machine in a process of its own: this one stays without a context on the GPU."""
    context = multiprocessing.get_context('spawn')
    with context.Pool(1) as pool:
        return pool.apply(_describe, (device,))


def _describe(device: str) -> dict[str, Any]:
    import torch

    if device == 'cuda' and not torch.cuda.is_available():
        raise BenchmarkError(
            "device is 'cuda', but PyTorch sees no GPU (--device cpu --quick tries)"
        )
    from benchmarks.machine import describe_machine

    return describe_machine(device)


def _in_process(part: Part, job: Job) -> str:
    """Run one part; tell how it ended."""
    job.path.unlink(missing_ok=True)
    process = multiprocessing.get_context('spawn').Process(target=_run, args=(part, job))
    start = time.monotonic()
    process.start()
    process.join(job.seconds + GRACE)
    if process.is_alive():
        process.terminate()
        process.join(5)
        process.kill()
        process.join()
        return f'stopped at its limit of {job.seconds:.0f} s'
    seconds = time.monotonic() - start
    if process.exitcode:
        return f'failed after {seconds:.0f} s, exit status {process.exitcode}'
    return f'done in {seconds:.0f} s'


def _run(part: Part, job: Job) -> None:
    import_module(part.module).measure(job)
    job.save()
