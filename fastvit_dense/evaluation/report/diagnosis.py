"""Kinds of errors, calibration and doubts about the truth, as a report shows them."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ..metric_names import KINDS
from . import tables as markdown
from .plots import bar_plot, reliability_plot

# score of a class, the same near its edge, the unit of their difference, and the mean
BOUNDARIES = (
    ('IoU', 'boundary_IoU', 'points of IoU', 'boundary_mIoU'),
    ('segm_AP', 'boundary_AP', 'AP', 'boundary_mAP'),
)
SHOWN_CLASSES = 12
MANY_CLASSES = 100  # more fill no table of report.md


def diagnosis_blocks(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A picture with a note and a table for each thing that was found; empty without a diagnosis.

    Returns:
        Dicts with `title`, `plot`, `metric` (the name of the mean, or None), `note`, `summary` (of
        the table), `header`, `rows` and `numbers` (whether all columns but the first hold numbers).
    """
    found = report.get('diagnosis') or {}
    return [*(_breakdown(entry) for entry in found.get('breakdowns', [])), *more_blocks(report)]


def more_blocks(report: Mapping[str, Any], of: str = '') -> list[dict[str, Any]]:
    """The blocks that are no breakdown: what classes lose at boundaries, and the calibration.

    Args:
        report: The content of a report.
        of: Told by a screen reader, where a page has the same plots of several.
    """
    blocks = [_boundaries(report, of, *scores) for scores in BOUNDARIES]
    return [block for block in (*blocks, _reliability(report, of)) if block]


def _boundaries(
    report: Mapping[str, Any], of: str, score: str, at_boundary: str, unit: str, mean: str
) -> dict[str, Any] | None:
    """The classes that lose most where only pixels near their edge count."""
    rows = [
        (row['name'], row[score] - row[at_boundary])
        for row in report.get('per_class', [])
        if row.get(score) is not None and row.get(at_boundary) is not None
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: -row[1])
    title = (
        f'What classes lose at their boundaries: {"masks" if score == "segm_AP" else "label maps"}'
    )
    return {
        'title': title,
        'plot': Markup(bar_plot(_told(title, of), dict(rows[:SHOWN_CLASSES]), unit)),
        'metric': mean,
        'note': f'By how much the score of a class is lower where the pixels near the edge count '
        f'alone; of {len(rows)} classes those that lose most.',
        'summary': 'All classes',
        'header': ('class', unit),
        'rows': [(name, _number(lost)) for name, lost in rows],
        'numbers': True,
    }


def _breakdown(entry: Mapping[str, Any]) -> dict[str, Any]:
    parts = entry['parts']
    bars = {part['name']: part['value'] or 0.0 for part in parts}
    return {
        'title': entry['title'],
        'plot': Markup(bar_plot(entry['title'], bars, entry['unit'])),
        'metric': None,
        'note': entry['note'],
        'summary': 'What the kinds are',
        'header': ('kind', 'how many', 'what it is'),
        'rows': [(part['name'], _count(part['count']), part['meaning']) for part in parts],
        'numbers': False,
    }


def _count(value: int | None) -> str:
    return '–' if value is None else f'{value:,}'


def _told(title: str, of: str) -> str:
    return f'{title}, {of}' if of else title


def _reliability(report: Mapping[str, Any], of: str) -> dict[str, Any] | None:
    calibration = (report.get('diagnosis') or {}).get('calibration') or {}
    if not calibration:
        return None
    lines = {}
    for kind, entry in calibration.items():
        kind = KINDS.get(kind, kind)
        lines[kind] = [(b['confidence'], b['precision']) for b in entry['bins']]
        if 'baseline' in entry:
            bins = entry['baseline']['bins']
            lines[f'{kind}, baseline'] = [(b['confidence'], b['precision']) for b in bins]
    header, rows = threshold_table(calibration)
    label = 'Reliability: precision over confidence'
    return {
        'title': 'How far scores can be trusted',
        'plot': Markup(reliability_plot(_told(label, of), lines)),
        'metric': None,
        'note': 'On the diagonal a score is the share that is right. '
        + calibration_note(calibration),
        'summary': 'Score threshold of the best F1, by class',
        'header': header,
        'rows': rows,
        'numbers': True,
    }


def calibration_note(calibration: Mapping[str, Any]) -> str:
    """Expected calibration errors in a line, with those of a baseline."""
    texts = []
    for kind, entry in calibration.items():
        text = f'{KINDS.get(kind, kind)} {entry["expected_error"]:.4f}'
        if 'baseline' in entry:
            text += f' (baseline {entry["baseline"]["expected_error"]:.4f})'
        texts.append(text)
    return f'Expected calibration error: {", ".join(texts)}.'


def threshold_table(calibration: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the best threshold and its F1 by class, of all kinds of detections.

    Classes without any, of which there are no objects or no detections, are left out.
    """
    header, columns = ['class'], []
    for kind, entry in calibration.items():
        if 'thresholds' not in entry:
            continue
        kind = KINDS.get(kind, kind)
        for name, row in ((kind, entry), (f'{kind}, baseline', entry.get('baseline'))):
            if row:
                header += [f'{name} threshold', f'{name} F1']
                columns.append({line['name']: line for line in row['thresholds']})
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [
        [name, *(_number(column.get(name, {}).get(key)) for column in columns for key in _KEYS)]
        for name in names
        if any(column.get(name, {}).get('threshold') is not None for column in columns)
    ]
    return header, rows


_KEYS = ('threshold', 'f1')


def _number(value: float | None) -> str:
    return '–' if value is None else f'{value:.3f}'


def diagnosis_markdown(report: Mapping[str, Any]) -> list[str]:
    """Parts of `report.md`; empty without a diagnosis."""
    found = report.get('diagnosis') or {}
    parts = []
    for entry in found.get('breakdowns', []):
        parts += [f'## {entry["title"]}', markdown.cell(entry['note']), _part_table(entry)]
    calibration = found.get('calibration') or {}
    if calibration:
        parts += ['## How far scores can be trusted', calibration_note(calibration)]
        header, lines = threshold_table(calibration)
        if len(lines) > MANY_CLASSES:
            parts.append(f'report.json has the score thresholds of the best F1 of {len(lines):,}.')
        elif lines:
            parts.append(markdown.table([markdown.cell(name) for name in header], lines))
    if found.get('doubts'):
        doubts = [(doubt['name'], doubt['what']) for doubt in found['doubts']]
        header = ['image', 'what speaks against the truth']
        table = markdown.table(header, doubts, text_columns=2)
        parts += ['## Likely label errors in the truth', table]
    return parts


def _part_table(entry: Mapping[str, Any]) -> str:
    rows = [
        (part['name'], _number(part['value']), _count(part['count']), part['meaning'])
        for part in entry['parts']
    ]
    return markdown.table(('kind', entry['unit'], 'how many', 'what it is'), rows)
