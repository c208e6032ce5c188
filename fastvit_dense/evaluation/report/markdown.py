"""`report.md`."""

from collections.abc import Mapping
from typing import Any

from ..metric_names import format_difference, format_published
from . import tables as markdown
from .content import (
    data_labels,
    facts,
    headline_rows,
    measured_text,
    metric_label,
    report_title,
    scored_on,
    uncertainty_note,
)
from .corruptions import corruption_table, robustness_note, robustness_rows
from .diagnosis import diagnosis_markdown
from .presentation import Presentation


def render_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    parts = [f'# {markdown.cell(report_title(report))}', f'{Presentation.of(report).title}. ']
    parts[1] += f'Scored on {markdown.cell(scored_on(report))}.'
    parts += [f'**{label}.**' for label in data_labels(report)]
    parts.append(_headline_table(report))
    parts += filter(None, [uncertainty_note(report)])
    if report.get('expected'):
        parts += ['## Expected by the config', _expected_list(report)]
    parts += ['## All metrics', _metrics_table(report)]
    if report['reference']:
        parts += ['## Published results', *_reference_table(report)]
    if report['per_class']:
        word = Presentation.of(report).class_word
        parts += [f'## Per {word}', _class_table(report)]
    parts += diagnosis_markdown(report)
    if report.get('robustness'):
        parts += ['## Under corruptions', *_robustness(report['robustness'])]
    sections = {
        'Protocol': report['protocol'],
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
            )
        )
    return markdown.table(('', 'measured', 'paper', 'difference'), rows)


def _expected_list(report: Mapping[str, Any]) -> str:
    return '\n'.join(f'- {markdown.cell(check["message"])}' for check in report['expected'])


def _metrics_table(report: Mapping[str, Any]) -> str:
    rows = [
        (name, metric_label(report, name), measured_text(report, name))
        for name in report['metrics']
        if not name.endswith('_precision')
    ]
    return markdown.table(('metric', '', 'value'), rows, text_columns=2)


def _reference_table(report: Mapping[str, Any]) -> list[str]:
    references = report['reference']
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
    elsewhere = next(filter(None, (row.get('not_comparable') for row in references)), '')
    lines = [f'Not to be compared with this run: {markdown.cell(elsewhere)}.'] if elsewhere else []
    header = ('name', 'backbone', 'source', 'note', *names)
    return [*lines, markdown.table(header, rows, text_columns=4)]


def _robustness(robustness: Mapping[str, Any]) -> list[str]:
    header, rows = corruption_table(robustness)
    return [
        robustness_note(robustness),
        markdown.table(('', 'clean', 'mPC', 'rPC'), robustness_rows(robustness)),
        markdown.table(('mean over strengths', *header), [(name, *cells) for name, cells in rows]),
    ]


def _class_table(report: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(key for row in report['per_class'] for key in row))
    rows = [[_class_cell(row.get(name)) for name in names] for row in report['per_class']]
    return markdown.table([markdown.cell(name) for name in names], rows)


def _class_cell(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.4f}'
    return '–' if value is None else str(value)
