"""The largest costs of a score: the classes, or the joints, that the mean would gain most from.

A report shows the groups of `cost_groups` below its first numbers, and has a section of its own for
kinds of errors; a summary of several reports puts `error_groups` beside them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...datasets.values import is_number
from ..metric_names import describe, format_value
from .presentation import Presentation

# The score of a class, and the metric that is its mean: the first that the classes have.
CLASS_SCORES = {
    'segm_AP': 'segm_mAP',
    'bbox_AP': 'bbox_mAP',
    'PQ': 'PQ',
    'IoU': 'mIoU',
    'PA-MPJPE': 'PA-MPJPE',
}
PERFECT = {'': 1.0, '%': 100.0}  # by unit
SHOWN = 6


class Cost(NamedTuple):
    """One thing that costs.

    Args:
        name: What it is.
        text: What it costs, with the unit.
        bar: The same from 0 to 100, the largest of its group 100.
    """

    name: str
    text: str
    bar: float


class CostGroup(NamedTuple):
    """Costs that can be compared with each other, the largest first, and what they are."""

    title: str
    note: str
    rows: list[Cost]


def cost_groups(report: Mapping[str, Any]) -> list[CostGroup]:
    """Costs in the groups that there are numbers for."""
    return [group for group in (_by_class(report),) if group and group.rows]


def error_groups(report: Mapping[str, Any]) -> list[CostGroup]:
    """Costs by kind of error, a group for each breakdown of the diagnosis, if there is one."""
    groups = []
    for breakdown in (report.get('diagnosis') or {}).get('breakdowns', []):
        parts = [part for part in breakdown['parts'] if is_number(part['value'])]
        parts = sorted((p for p in parts if p['value'] > 0), key=lambda part: -part['value'])
        rows = [
            Cost(
                part['name'],
                f'{part["value"]:.{2 if parts[0]["value"] >= 1 else 4}f}',
                100 * part['value'] / parts[0]['value'],
            )
            for part in parts[:SHOWN]
        ]
        if rows:
            unit = f', {breakdown["unit"]}' if breakdown['unit'] else ''
            groups.append(CostGroup(f'{breakdown["title"]}{unit}', breakdown['note'], rows))
    return groups


def class_score(rows: list[dict[str, Any]]) -> str | None:
    """Name of the number of each class that says how good it is; None without any."""
    keys = dict.fromkeys(key for row in rows for key in row if key != 'name')
    numeric = [key for key in keys if any(is_number(row.get(key)) for row in rows)]
    return next((key for key in CLASS_SCORES if key in numeric), numeric[0] if numeric else None)


def _by_class(report: Mapping[str, Any]) -> CostGroup | None:
    """Points that the mean would gain from one perfect class; of errors their share."""
    per_class = report.get('per_class') or []
    score = class_score(per_class)
    metric = CLASS_SCORES.get(score or '')
    rows = [row for row in per_class if is_number(row.get(score))]
    if metric is None or len(rows) < 2:
        return None
    info, word = describe(metric), Presentation.of(report).class_word
    if info.higher_is_better:
        losses = [(PERFECT[info.unit] - row[score]) / len(rows) for row in rows]
        texts = [f'+{format_value(metric, loss, unit=True)}' for loss in losses]
        note = f'What {info.label} would gain if this {word} alone were perfect.'
    else:
        total = sum(row[score] for row in rows) or 1.0
        losses = [row[score] / total for row in rows]
        texts = [f'{100 * loss:.1f} %' for loss in losses]
        note = f'Share of all error; alike, each {word} would have {100 / len(rows):.1f} %.'
    top = max(losses) or 1.0
    found = sorted(
        (
            Cost(str(row.get('name', '')), text, 100 * loss / top)
            for row, text, loss in zip(rows, texts, losses, strict=True)
            if loss > 0
        ),
        key=lambda cost: -cost.bar,
    )
    return CostGroup(f'By {word}', note, found[:SHOWN])
