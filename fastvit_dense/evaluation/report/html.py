"""`report.html`: one page with everything in it, no script, nothing loaded from outside."""

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ...datasets.values import is_number
from ..metric_names import (
    describe,
    format_difference,
    format_interval,
    format_published,
    format_value,
    is_defined,
    short_label,
)
from .content import (
    change_text,
    data_labels,
    facts,
    headline_rows,
    measured_text,
    notes,
    other_metrics,
    other_protocol,
    protocol_line,
    published_rows,
    report_title,
    say,
    scored_on,
)
from .corruptions import robustness_section
from .costs import class_score, cost_groups
from .curves import OF_TRAINING, curve_plots
from .diagnosis import diagnosis_blocks
from .pictures import GalleryEntry, data_uri
from .plots import confusion_plot
from .presentation import Presentation

WORST = 'Worst'  # the group of the gallery that stands first
SHOWN_CLASSES = 21  # best and worst; what lies between folds away
SHOWN_CONFUSIONS = 20
NUMBERED = 10  # classes of a confusion matrix whose cells have numbers


def render_report(
    report: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    gallery: Sequence[tuple],
    gallery_note: str,
) -> str:
    """The page of one report; arguments as in `write_report`, `report` as it stands in JSON."""
    groups = _gallery(gallery, Presentation.of(report))
    return render(
        'report.html.jinja',
        title=report_title(report),
        task=Presentation.of(report).title,
        scored_on=scored_on(report),
        labels=data_labels(report),
        headlines=headline_cards(report),
        protocol=protocol_line(report),
        note=notes(report),
        costs=cost_groups(report),
        worst=[f for group in groups if group['name'] == WORST for f in group['figures'][::-1]],
        expected=report.get('expected', []),
        published=_published(report),
        metric_tables=_metric_tables(report),
        classes=_classes(report),
        class_word=Presentation.of(report).class_word,
        curves=plots_of(report, training=False),
        training=plots_of(report, training=True),
        confusion=_confusion(report, arrays),
        diagnosis=diagnosis_blocks(report),
        doubts=report.get('diagnosis', {}).get('doubts', []),
        robustness=robustness_section(report, arrays),
        gallery=[group for group in groups if group['name'] != WORST],
        gallery_note=gallery_note,
        sections=_sections(report),
    )


def plots_of(report: Mapping[str, Any], training: bool, of: str = '') -> list[tuple[str, Markup]]:
    """Title and plot of the curves of the training, or of all others; `of` as in `curve_plots`."""
    families = {
        n: v for n, v in (report.get('curves') or {}).items() if (n in OF_TRAINING) == training
    }
    return [(title, Markup(svg)) for title, svg in curve_plots(families, of)]


def render(template: str, **context: Any) -> str:
    """Fill one of the package's page templates; every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('fastvit_dense.evaluation.report'),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)


def headline_cards(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The headline numbers as the pages show them."""
    return [_headline(row, report) for row in headline_rows(report)]


def _headline(row: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    name, difference = row['metric'], row['difference']
    info = describe(name)
    verdict = ''
    if difference is not None:
        better = difference >= 0 if info.higher_is_better else difference <= 0
        verdict = 'better' if better else 'worse'
    return {
        'name': name,
        'label': row['label'],
        'value': format_value(name, row['value'], digits=min(info.digits, 3)),
        'unit': info.unit,
        'interval': (
            format_interval(name, row['interval'], digits=min(info.digits, 3))
            if row['interval']
            else ''
        ),
        'paper': None if row['paper'] is None else format_published(name, row['paper']),
        'difference': (
            None
            if difference is None
            else format_difference(name, difference, digits=min(info.digits, 3))
        ),
        'verdict': verdict,
        'change': change_text(report, name),
    }


def _published(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Published rows with this run among them, the strongest first."""
    references = published_rows(report)
    if not references:
        return None
    names = [
        name
        for name in Presentation.of(report).columns
        if any(name in row['metrics'] for row in references)
    ]
    # the first that this run has too leads
    names.sort(key=lambda name: not is_defined(name, report['metrics'].get(name)))
    main = names[0]
    config = (report['model'] or {}).get('config')
    ours = {
        'kind': 'ours',
        'name': 'This run',
        'backbone': report_title(report) if config else 'from predictions',
        'source': scored_on(report),
        'metrics': report['metrics'],
        'intervals': report.get('uncertainty'),
    }
    rows = _strongest_first([ours, *references], main)
    values = [row['metrics'].get(main) for row in rows]
    values = [value for value in values if is_defined(main, value)]
    low, high = _range(values)
    digits = 0 if describe(main).unit else 2
    return {
        'headers': [short_label(name) for name in names],
        'range': f'{low:.{digits}f}–{high:.{digits}f}',
        'rows': [_published_row(row, names, low, high) for row in rows],
        'has_parameters': any(row.get('parameters') for row in rows),
        'lower_is_better': not describe(main).higher_is_better,
    }


def _strongest_first(rows: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    sign = -1 if describe(name).higher_is_better else 1

    def rank(row: Mapping[str, Any]) -> float:
        value = row['metrics'].get(name)
        return sign * value if is_defined(name, value) else np.inf

    return sorted(rows, key=rank)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis, in whole hundredths or units, that holds all values with some room."""
    if not values:
        return 0.0, 1.0
    step = 0.01 if max(values) <= 1 else 1.0
    room = 0.06 * (max(values) - min(values))
    low = np.floor((min(values) - room) / step) * step
    high = np.ceil((max(values) + room) / step) * step
    return max(float(low), 0.0), float(high) if high > low else float(low + step)


def _published_row(
    row: Mapping[str, Any], names: Sequence[str], low: float, high: float
) -> dict[str, Any]:
    main = row['metrics'].get(names[0])
    parameters = row.get('parameters')
    return {
        'kind': row.get('kind', 'peer'),
        'name': row['name'],
        'backbone': row.get('backbone', ''),
        'parameters': f'{parameters / 1e6:.1f}' if parameters else '',
        'source': row.get('source', ''),
        'note': row.get('note', ''),
        'dot': 100 * (main - low) / (high - low) if is_defined(names[0], main) else None,
        'values': [_published_value(name, row) for name in names],
    }


def _published_value(name: str, row: Mapping[str, Any]) -> str:
    value = format_published(name, row['metrics'].get(name))
    ends = (row.get('intervals') or {}).get(name)
    return (
        f'{value} {format_interval(name, ends, 1 if describe(name).unit else 3)}' if ends else value
    )


def _metric_tables(report: Mapping[str, Any]) -> list[list[dict[str, str]]]:
    """All that no headline tells, in groups that share what is measured."""
    groups: dict[str, list[dict[str, str]]] = {}
    for name in other_metrics(report):
        row = {
            'name': name,
            'label': describe(name).label,
            'value': measured_text(report, name),
            'change': change_text(report, name),
        }
        groups.setdefault(name.partition('_')[0] if '_' in name else '', []).append(row)
    return list(groups.values())


def _classes(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Bars per class, the best first; classes without a score stand at the end."""
    rows = report['per_class']
    if not rows:
        return None
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key != 'name']
    score = class_score(rows)
    if score is None:
        return None
    info = describe('mIoU' if score == 'IoU' else score)
    values = [row.get(score) for row in rows if is_number(row.get(score))]
    full = {'': 1.0, '%': 100.0}.get(info.unit, max(values)) or 1.0
    if max(values) > full:
        full = max(values)
    known = [row for row in rows if is_number(row.get(score))]
    known.sort(key=lambda row: row[score], reverse=info.higher_is_better)
    digits = {'': 3, '%': 1}.get(info.unit, 2)
    bars = [
        {
            'name': str(row.get('name', '')),
            'value': f'{row[score]:.{digits}f}',
            'bar': 100 * max(row[score], 0) / full,
            'title': ', '.join(f'{key} {say(row.get(key))}' for key in keys),
        }
        for row in known
    ]
    many = len(bars) > 2 * SHOWN_CLASSES + 3
    return {
        'score': info.label if score != 'IoU' else 'IoU',
        'unit': info.unit,
        'best': bars[:SHOWN_CLASSES] if many else bars,
        'between': bars[SHOWN_CLASSES:-SHOWN_CLASSES] if many else [],
        'worst': bars[-SHOWN_CLASSES:] if many else [],
        'without': [str(row.get('name', '')) for row in rows if not is_number(row.get(score))],
        'lower_is_better': not info.higher_is_better,
    }


def _confusion(
    report: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, Any] | None:
    """The confusion matrix of the most frequent classes, and the largest confusions of all."""
    matrix = arrays.get('confusion_matrix')
    names = [str(row.get('name', index)) for index, row in enumerate(report['per_class'])]
    if matrix is None or matrix.ndim != 2 or len(names) < matrix.shape[0]:
        return None
    counts = np.asarray(matrix, dtype=float)[: len(names), : len(names)]
    totals = counts.sum(axis=1)
    with np.errstate(invalid='ignore', divide='ignore'):
        shares = counts / totals[:, None]
    frequent = np.sort(np.argsort(-totals, kind='stable')[:SHOWN_CONFUSIONS])
    frequent = frequent[totals[frequent] > 0]
    if not len(frequent):
        return None
    off = np.nan_to_num(shares)
    np.fill_diagonal(off, 0)
    flat = np.argsort(-off, axis=None, kind='stable')[:12]
    pairs = [divmod(int(index), off.shape[1]) for index in flat]
    return {
        'plot': Markup(
            confusion_plot(
                shares[np.ix_(frequent, frequent)],
                [names[i] for i in frequent],
                len(frequent) <= NUMBERED,
            )
        ),
        'shown': len(frequent),
        'classes': int((totals > 0).sum()),
        # with few classes the cells have the numbers
        'largest': []
        if len(frequent) <= NUMBERED
        else [
            {
                'truth': names[row],
                'predicted': names[column],
                'share': f'{100 * off[row, column]:.1f}',
            }
            for row, column in pairs
            if off[row, column] > 0
        ],
    }


def _gallery(entries: Sequence[tuple], presentation: Presentation) -> list[dict[str, Any]]:
    """Groups of figures; a picture that cannot be read leaves a line in its place."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in (GalleryEntry(*entry) for entry in entries):
        figure: dict[str, Any] = {
            'title': f'{entry.title}: {entry.note}' if entry.note else entry.title,
            'group': entry.group,
            'uri': None,
            'problem': '',
            'score': '',
        }
        if entry.score is not None and is_number(entry.score):
            score = presentation.sample_sign * entry.score
            figure['score'] = presentation.sample_score.format(score)
        try:
            figure['uri'], figure['width'], figure['height'] = data_uri(entry.picture)
        except ValueError as error:
            figure['problem'] = str(error)
        groups.setdefault(entry.group, []).append(figure)
    return [{'name': name, 'figures': figures} for name, figures in groups.items()]


def _sections(report: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    model = dict(report['model'] or {})
    if model.get('checkpoint_sha256'):
        model['checkpoint_sha256'] = f'{model["checkpoint_sha256"][:16]}…'
    if model.get('parameters'):
        model['parameters'] = f'{model["parameters"] / 1e6:.2f} M'
    if model.get('macs'):
        model['macs'] = f'{model["macs"] / 1e9:.2f} G'
    seconds = {
        name: f'{value:.1f} s' for name, value in report['seconds'].items() if value is not None
    }
    sections = {
        'Protocol': other_protocol(report),
        'Model': model,
        'Time': seconds,
        'Environment': report['environment'],
    }
    return [(name, facts(mapping)) for name, mapping in sections.items() if mapping]
