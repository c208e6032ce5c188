"""The content of a report, whatever it is written in: labels, headline numbers, names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..metric_names import (
    describe,
    format_difference,
    format_interval,
    format_value,
    is_defined,
)
from .presentation import Presentation
from .references import is_sample

_CHANGES = ('change from baseline', 'change with interval', 'change without interval')


def data_labels(report: Mapping[str, Any]) -> list[str]:
    """Labels that a reader must see before the numbers; empty where the data is the real thing."""
    labels = []
    if is_sample(report['dataset']):
        labels.append('Sample data: the numbers show that everything runs, not how good it is')
    protocol = str(report['protocol']).lower()
    if 'stand-in' in protocol or 'standin' in protocol:
        labels.append('Stand-in hand, not MANO: the numbers cannot be compared with published ones')
    return labels


def published_rows(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Published rows that were measured on the data of this run, as this run was."""
    return [row for row in report['reference'] if not row.get('not_comparable')]


def other_metrics(report: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that no headline and no class tells."""
    headlines = Presentation.of(report).leading(report['metrics'])
    return [
        name
        for name in report['metrics']
        if name not in headlines and not name.endswith('_precision')
    ]


def protocol_line(report: Mapping[str, Any]) -> str:
    """One line on how the numbers were measured: the metric's rule, images, form of the model."""
    protocol = report['protocol']
    scored, _, total = str(protocol.get('images_scored', '')).partition(' of ')
    images = 'all images scored' if scored == total else f'{scored} of {total} images scored'
    form = protocol.get('form')
    parts = [protocol.get('rule'), images if total else '', f'model {form}' if form else '']
    line = '; '.join(str(part) for part in parts if part)
    return line[:1].upper() + line[1:]


def other_protocol(report: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol without what its line tells."""
    told = ('rule', 'images_scored', 'form', *_CHANGES)
    return {name: value for name, value in report['protocol'].items() if name not in told}


def headline_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The few numbers that matter most, each beside the paper's where the paper has one.

    Returns:
        Dicts with `metric`, `label`, `value`, `interval` (or None), `paper` (None without a row
        of this very model on the same data) and `difference`.
    """
    papers = [row for row in published_rows(report) if row.get('kind') == 'paper']
    paper = papers[0] if len(papers) == 1 else None
    rows = []
    for name in Presentation.of(report).leading(report['metrics']):
        value = report['metrics'][name]
        published = paper['metrics'].get(name) if paper else None
        comparable = published is not None and is_defined(name, value)
        rows.append(
            {
                'metric': name,
                'label': metric_label(report, name),
                'value': value,
                'paper': published,
                'difference': value - published if comparable else None,
                'interval': interval_of(report, name),
            }
        )
    return rows


def interval_of(report: Mapping[str, Any], name: str) -> Mapping[str, float] | None:
    """`low` and `high` of a metric; None where the report has no interval of it."""
    return (report.get('uncertainty') or {}).get(name)


def measured_text(report: Mapping[str, Any], name: str) -> str:
    """A metric's value with its unit and its interval."""
    value = format_value(name, report['metrics'][name], unit=True)
    ends = interval_of(report, name)
    return f'{value} {format_interval(name, ends)}' if ends else value


def change_text(report: Mapping[str, Any], name: str) -> str:
    """A metric's change from the baseline: the difference, its interval and the word, if any."""
    differences, in_words, _ = (report['protocol'].get(key) or {} for key in _CHANGES)
    if name in in_words:
        return str(in_words[name])
    return format_difference(name, differences[name]) if name in differences else ''


def change_note(report: Mapping[str, Any]) -> str:
    """A line on what the changes are from, and how sure they are; empty without a baseline."""
    protocol = report['protocol']
    if 'baseline' not in protocol:
        return ''
    without = protocol.get('change without interval')
    how = (
        f'without intervals: {without}' if without else 'with the interval of a bootstrap in pairs'
    )
    return f'Change from the baseline (model {protocol["baseline"]}), {how}.'


def notes(report: Mapping[str, Any]) -> str:
    """Lines under the numbers: on intervals, and on a baseline."""
    return ' '.join(filter(None, (uncertainty_note(report), change_note(report))))


def uncertainty_note(report: Mapping[str, Any]) -> str:
    """A line on what the intervals of a report are; empty without any."""
    for ends in (report.get('uncertainty') or {}).values():
        return (
            f'In brackets: {100 * ends["level"]:g} % intervals of a bootstrap over images, '
            f'{ends["resamples"]:,} resamples.'
        )
    return ''


def metric_label(report: Mapping[str, Any], name: str) -> str:
    """Label of a metric; a mean over fewer classes than there are says over how many it is."""
    label, scored = describe(name).label, report['protocol'].get('classes_scored')
    return f'{label} over {scored} classes' if scored and name.endswith('mIoU') else label


def report_title(report: Mapping[str, Any]) -> str:
    """Config name of the model, or the task where predictions were scored without one."""
    config = (report['model'] or {}).get('config')
    return Path(config).stem if config else f'{Presentation.of(report).title}, from predictions'


def scored_on(report: Mapping[str, Any]) -> str:
    """Dataset, split and number of images in words."""
    where = ' '.join(filter(None, (report['dataset'], report['split'])))
    images = f'{report["samples"]:,} image{"s" * (report["samples"] != 1)}'
    return f'{where}, {images}' if where else images


def facts(mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and text of every entry of a mapping, in order."""
    return [(name.replace('_', ' '), say(value)) for name, value in mapping.items()]


def say(value: Any) -> str:
    """A value of a protocol or an environment in words."""
    if value is None:
        return '–'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, list | tuple):
        return ', '.join(map(say, value)) or 'none'
    if isinstance(value, Mapping):
        return ', '.join(f'{name} {say(inner)}' for name, inner in value.items())
    return f'{value:g}' if isinstance(value, float) else str(value)
