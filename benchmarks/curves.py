"""Losses and validation scores of trainings beside each other, as their logs hold them."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.figures import new_figure
from benchmarks.machine import BenchmarkError


def read_curves(work_dirs: Sequence[str], score: str) -> dict[str, Any]:
    """Read the logs of trainings by passes over the data.

    Args:
        work_dirs: `NAME=FOLDER` of each; a run that was resumed has a log for each start.
        score: What validation tells, such as mIoU.

    Returns:
        `score`, and of each of `trainings` `name`, `steps`, `step_seconds` (the median), `losses`
        and `scores`, both [[passes, value], ...].

    Raises:
        BenchmarkError: A folder has no log, its log no such score, or no number of its pass.
    """
    trainings = [_read(*word.rpartition('=')[::2], score) for word in work_dirs]
    return {'score': score, 'trainings': trainings}


def _read(name: str, folder: str, score: str) -> dict[str, Any]:
    logs = sorted(Path(folder).glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    losses = {line['step']: line for line in lines if 'loss' in line}
    scores = {line['step']: line[score] for line in lines if score in line}
    if not losses or not scores:
        missing = f'{score} of a validation' if losses else 'loss'
        raise BenchmarkError(f'{folder}: expected logs of a training, found no {missing} in them')
    if not all('epoch' in line for line in losses.values()):
        raise BenchmarkError(f'{folder}: expected a training that counts passes, found steps alone')
    # the fewest with which every line lies in the pass that it names
    steps_per_pass = math.ceil(max(step / line['epoch'] for step, line in losses.items()))
    return {
        'name': name or Path(folder).name,
        'steps': max(losses),
        'step_seconds': statistics.median(line['time'] for line in losses.values()),
        'losses': [[step / steps_per_pass, losses[step]['loss']] for step in sorted(losses)],
        'scores': [[step, scores[step]] for step in sorted(scores)],
    }


def curve_table(results: Mapping[str, Any]) -> str:
    """A row for each training; a column for each validation."""
    passes = sorted({when for row in results['trainings'] for when, _ in row['scores']})
    head = ['training', 'steps', 's a step', *(f'{results["score"]} after {n}' for n in passes)]
    rows = [head, ['---', *['---:'] * (len(head) - 1)]]
    for row in results['trainings']:
        scores = dict(row['scores'])
        values = [f'{scores[n]:.1f}' if n in scores else '' for n in passes]
        rows.append([row['name'], str(row['steps']), f'{row["step_seconds"]:.1f}', *values])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def curve_figure(results: Mapping[str, Any]) -> Figure:
    """Losses on the left, scores of the validation pictures on the right, by passes."""
    figure = new_figure(9, 3.4)
    panels = figure.subplots(1, 2)
    for panel, key, label in zip(
        panels, ('losses', 'scores'), ('training loss', results['score']), strict=True
    ):
        for row in results['trainings']:
            panel.plot(*zip(*row[key], strict=True), marker='o', ms=3.5, label=row['name'])
        panel.set(xlabel='passes over the training pictures', ylabel=label, xlim=(0, None))
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    return figure
