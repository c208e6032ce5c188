"""`report.md`."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...datasets.values import is_number
from ..metric_names import describe, format_difference, format_published
from . import tables as markdown
from .content import (
    change_text,
    data_labels,
    facts,
    headline_rows,
    measured_text,
    metric_label,
    notes,
    other_metrics,
    other_protocol,
    protocol_line,
    published_rows,
    report_title,
    scored_on,
)
from .corruptions import corruption_table, robustness_note, robustness_rows
from .costs import CLASS_SCORES, class_score, cost_groups
from .diagnosis import MANY_CLASSES, diagnosis_markdown
from .presentation import Presentation

SHOWN_CLASSES = 20


def render_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    parts = [f'# {markdown.cell(report_title(report))}', f'{Presentation.of(report).title}. ']
    parts[1] += f'Scored on {markdown.cell(scored_on(report))}.'
    parts += [f'**{label}.**' for label in data_labels(report)]
    parts.append(_headline_table(report))
    parts += filter(None, [_protocol(report), notes(report)])
    for group in cost_groups(report):
        rows = [(row.name, row.text) for row in group.rows]
        parts += [f'## What costs most: {group.title}', group.note]
        parts.append(markdown.table((Presentation.of(report).class_word, 'cost'), rows))
    if report.get('expected'):
        parts += ['## Expected by the config', _expected_list(report)]
    if other_metrics(report):
        parts += ['## More numbers', *filter(None, [_protocol(report)]), _metrics_table(report)]
    if published_rows(report):
        parts += ['## Published results', *_reference_table(report)]
    if report['per_class']:
        word = Presentation.of(report).class_word
        parts += [f'## Per {word}', *_class_tables(report)]
    parts += diagnosis_markdown(report)
    if report.get('robustness'):
        parts += ['## Under corruptions', *_robustness(report)]
    sections = {
        'Protocol': other_protocol(report),
        'Model': report['model'] or {},
        'Seconds': report['seconds'],
        'Environment': report['environment'],
    }
    for title, mapping in sections.items():
        if mapping:
            parts += [f'## {title}', markdown.table(('', ''), facts(mapping), text_columns=2)]
    return '\n\n'.join(parts) + '\n'


def _headline_table(report: Mapping[str, Any]) -> str:
    rows = []
    for row in headline_rows(report):
        name, difference = row['metric'], row['difference']
        rows.append(
            (
                f'{row["label"]} ({name})',
                measured_text(report, name),
                format_published(name, row['paper']),
                '–' if difference is None else format_difference(name, difference),
                change_text(report, name),
            )
        )
    header = ('', 'measured', 'paper', 'difference', 'from the baseline')
    return _without_empty_column(header, rows)


def _expected_list(report: Mapping[str, Any]) -> str:
    return '\n'.join(f'- {markdown.cell(check["message"])}' for check in report['expected'])


def _metrics_table(report: Mapping[str, Any]) -> str:
    rows = [
        (name, metric_label(report, name), measured_text(report, name), change_text(report, name))
        for name in other_metrics(report)
    ]
    return _without_empty_column(('metric', '', 'value', 'from the baseline'), rows, 2)


def _without_empty_column(
    header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1
) -> str:
    """A table whose last column is left out where nothing stands in it."""
    end = len(header) if any(row[-1] for row in rows) else -1
    return markdown.table(header[:end], [row[:end] for row in rows], text_columns=text_columns)


def _reference_table(report: Mapping[str, Any]) -> list[str]:
    references = published_rows(report)
    measured = {name for row in references for name in row['metrics']}
    names = [name for name in Presentation.of(report).columns if name in measured]
    rows = [
        (
            row['name'],
            row.get('backbone', ''),
            row.get('source', ''),
            row.get('note', ''),
            *(format_published(name, row['metrics'].get(name)) for name in names),
        )
        for row in references
    ]
    header = ('name', 'backbone', 'source', 'note', *names)
    return [markdown.table(header, rows, text_columns=4)]


def _robustness(report: Mapping[str, Any]) -> list[str]:
    robustness = report['robustness']
    header, rows = corruption_table(robustness)
    return [
        robustness_note(robustness),
        markdown.table(('', 'clean', 'mPC', 'rPC'), robustness_rows(report)),
        markdown.table(('mean over strengths', *header), [(name, *cells) for name, cells in rows]),
    ]


def _protocol(report: Mapping[str, Any]) -> str:
    line = protocol_line(report)
    return f'{markdown.cell(line)}.' if line else ''


def _class_tables(report: Mapping[str, Any]) -> list[str]:
    """All classes; of very many the best and the worst."""
    rows = report['per_class']
    score = class_score(rows)
    if len(rows) <= MANY_CLASSES or score is None:
        return [_class_table(rows, rows)]
    known = [row for row in rows if is_number(row.get(score))]
    sign = -1 if describe(CLASS_SCORES.get(score, score)).higher_is_better else 1
    known.sort(key=lambda row: sign * row[score])
    return [
        f'{len(rows):,} in all, {len(known):,} of them with a score; report.json has every one.',
        f'The {SHOWN_CLASSES} best:',
        _class_table(known[:SHOWN_CLASSES], rows),
        f'The {SHOWN_CLASSES} worst:',
        _class_table(known[-SHOWN_CLASSES:], rows),
    ]


def _class_table(rows: Sequence[Mapping[str, Any]], of: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(key for row in of for key in row))
    cells = [[_class_cell(row.get(name)) for name in names] for row in rows]
    return markdown.table([markdown.cell(name) for name in names], cells)


def _class_cell(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.4f}'
    return '–' if value is None else str(value)
