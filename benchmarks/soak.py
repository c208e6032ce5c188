"""Training and evaluation in a loop, for what grows: memory, open files, processes, /dev/shm."""

import gc
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastvit_dense.engine import evaluate_checkpoint, train

from .machine import BenchmarkError, describe_machine

MEASURED = ('memory_mb', 'open_files', 'processes', 'shm_mb')
WARM = 2  # rounds in which libraries are loaded and caches fill
OWN_MEMORY = re.compile(r'^(?:RssAnon|RssShmem|VmSwap):\s*(\d+) kB$', re.MULTILINE)


def soak(
    configs: Sequence[str],
    seconds: float,
    sample: bool = True,
    cfg_options: Iterable[str] = (),
) -> dict[str, Any]:
    """Train and test one config after another in this process until the time is over.

    Args:
        configs: Config files, or names of shipped ones.
        seconds: No round starts after that; `WARM` rounds and two more are run in any case.
        sample: Use the sample data.
        cfg_options: `key=value` strings for all of them.

    Returns:
        The machine; under 'rounds' what this process holds after each round, in which every
        config has its turn; under 'growth' the change a round of each of `MEASURED`, by a straight
        line through the rounds after the first `WARM`.
    """
    if not Path('/proc/self').is_dir():
        raise BenchmarkError('soak: needs /proc, which Linux has')
    start = time.monotonic()
    rounds = []
    while time.monotonic() - start < seconds or len(rounds) < WARM + 2:
        for config in configs:
            train_and_test(config, sample, list(cfg_options))
        rounds.append({'seconds': time.monotonic() - start, **held()})
    return {
        'machine': describe_machine('cpu'),
        'configs': list(configs),
        'rounds': rounds,
        'growth': {name: slope([r[name] for r in rounds[WARM:]]) for name in MEASURED},
    }


def train_and_test(config: str, sample: bool, cfg_options: list[str]) -> dict[str, Any]:
    """Train a config into a folder that is removed, evaluate the last checkpoint: the report."""
    with tempfile.TemporaryDirectory(prefix='soak_') as folder:
        settings: dict[str, Any] = dict(sample=sample, cfg_options=cfg_options)
        train(config, work_dir=f'{folder}/train', **settings)
        checkpoint = Path(folder, 'train/last_checkpoint').read_text()
        evaluate_checkpoint(config, checkpoint, work_dir=f'{folder}/test', **settings)
        return json.loads(Path(folder, 'test/report.json').read_text())


def held() -> dict[str, float]:
    """Tell what this process, and those that it started, hold once garbage is collected.

    A runner that has ended is part of a ring, and keeps its data loading processes until then.
    """
    gc.collect()
    family = {pid: size for pid, size in descendants(os.getpid()) if size}  # 0: it has ended
    return {
        'memory_mb': sum(family.values()) / 2**20,
        'open_files': len(os.listdir('/proc/self/fd')),
        'processes': len(family),
        'shm_mb': shutil.disk_usage('/dev/shm').used / 2**20,
    }


def descendants(pid: int) -> Iterator[tuple[int, int]]:
    """Yield a process and its bytes of memory, and those of all that come from it and live.

    Pages of files, such as the code of libraries, are left out: the kernel drops and reads them
    again as it likes.
    """
    try:
        status = Path(f'/proc/{pid}/status').read_text()
        tasks = list(Path(f'/proc/{pid}/task').iterdir())
        children = [child for task in tasks for child in (task / 'children').read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return
    yield pid, sum(1024 * int(size) for size in OWN_MEMORY.findall(status))
    for child in children:
        yield from descendants(int(child))


def slope(values: Sequence[float]) -> float:
    """Change from one value to the next, by least squares; 0 for a single value."""
    count = len(values)
    middle = (count - 1) / 2
    spread = sum((i - middle) ** 2 for i in range(count))
    return sum((i - middle) * value for i, value in enumerate(values)) / spread if spread else 0.0


def soak_table(results: dict[str, Any]) -> str:
    """The first, the last and the change a round of what was measured."""
    rounds = results['rounds']
    lines = [f'{len(rounds)} rounds of {", ".join(results["configs"])}', '']
    lines += ['| | after round 3 | at the end | a round |', '|---|---|---|---|']
    for name in MEASURED:
        first, last = rounds[WARM][name], rounds[-1][name]
        lines.append(f'| {name} | {first:.0f} | {last:.0f} | {results["growth"][name]:+.2f} |')
    return '\n'.join(lines)
