"""Curves of a training, from the scalars that mmengine writes into its run's folders."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets.values import is_number
from ..metric_names import describe

LOSS, RATE, VALIDATION = 'training_loss', 'learning_rate', 'validation'
POINTS = 300  # of a curve at most; each is the mean of as many steps
LOG_BYTES = 1 << 28


def training_curves(work_dir: Path, headlines: Sequence[str]) -> dict[str, dict[str, list]]:
    """Read loss, learning rate and validation of the last training in a work dir.

    A run that was resumed is put together from its parts.

    Args:
        work_dir: Holds `TIMESTAMP/vis_data/scalars.json` of each run.
        headlines: Metrics that may be shown; of them those in the unit of the first one found.

    Returns:
        Families of curves, as in `EvaluationResult.curves`; those that the log has.
    """
    steps: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for file in sorted(work_dir.glob('*/vis_data/scalars.json'), reverse=True):
        lines = list(_lines(file))
        trained = [line for line in lines if 'loss' in line]
        if not trained:  # a test
            continue
        if steps and trained[0]['step'] >= steps[0]['step']:
            break  # of another run
        first = steps[0]['step'] if steps else np.inf
        steps = [line for line in trained if line['step'] < first] + steps
        validated = [line for line in lines if 'loss' not in line and 'lr' not in line]
        known = {line['step'] for line in scores}
        scores = [line for line in validated if line['step'] not in known] + scores
        if steps[0]['step'] <= 1:
            break
    found: dict[str, dict[str, list]] = {}
    for family, name in ((LOSS, 'loss'), (RATE, 'lr')):
        curve = _curve([(line['step'], line[name]) for line in steps if is_number(line.get(name))])
        if len(curve) > 1:
            found[family] = {'step': [x for x, _ in curve], name: [y for _, y in curve]}
    if validation := _validation(scores, headlines):
        found[VALIDATION] = {'epoch' if 'epoch' in steps[0] else 'step': validation.pop('step')}
        found[VALIDATION] |= validation
    return found


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """Objects of a file of one each line; a line that is cut off is left out."""
    if file.stat().st_size > LOG_BYTES:
        return
    with file.open(encoding='utf-8', errors='replace') as lines:
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and is_number(found.get('step')):
                yield found


def _curve(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equal numbers of points, `POINTS` at most."""
    size = -(-len(points) // POINTS) or 1
    numbered = groupby(enumerate(points), lambda entry: entry[0] // size)
    parts = [np.array([point for _, point in part]) for _, part in numbered]
    return [(float(part[-1, 0]), float(part[:, 1].mean())) for part in parts]


def _validation(
    scores: Sequence[dict[str, Any]], headlines: Sequence[str]
) -> dict[str, list[float | None]]:
    """`step`, and a list for each headline of the first one's unit; empty of fewer than two."""
    full = {name.rpartition('/')[2]: name for line in scores for name in line}
    names = [name for name in headlines if name in full]
    names = [name for name in names if describe(name).unit == describe(names[0]).unit]
    if len(scores) < 2 or not names:
        return {}
    rows = {name: [line.get(full[name]) for line in scores] for name in names}
    return {
        'step': [line['step'] for line in scores],
        **{name: [v if is_number(v) else None for v in row] for name, row in rows.items()},
    }
