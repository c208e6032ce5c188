"""Scores under corruptions as a report shows them: the means, plots, a table and examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from ...datasets.corruptions import FAMILIES
from ..metric_names import describe, format_value
from .content import measured_text
from .pictures import data_uri
from .plots import line_plot


def robustness_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Metric, clean score with its interval, mPC and rPC as text, one row a metric."""
    robustness = report['robustness']
    return [
        (
            describe(name).label,
            measured_text(report, name),
            format_value(name, robustness['mPC'][name], unit=True),
            _share(robustness['rPC'][name]),
        )
        for name in robustness['clean']
    ]


def robustness_note(robustness: Mapping[str, Any]) -> str:
    """A line on what was done and what the means are."""
    count = len(robustness['by_corruption'])
    strengths = len(robustness['strengths'])
    errors = not all(describe(name).higher_is_better for name in robustness['clean'])
    note = (
        f'{count} corruption{"s" * (count != 1)} at {strengths} strengths each, by '
        f'{robustness["library"]}. mPC is the mean of all; rPC is mPC in percent of the clean score'
    )
    return note + (' (more than 100 % of an error is worse).' if errors else '.')


def corruption_table(
    robustness: Mapping[str, Any],
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Header and rows: of each corruption the mean over strengths of every metric, as text."""
    header = [describe(name).label for name in robustness['clean']]
    rows = []
    for corruption, by_metric in robustness['by_corruption'].items():
        cells = [format_value(name, _mean(by_metric[name])) for name in robustness['clean']]
        rows.append((corruption.replace('_', ' '), cells))
    return header, rows


def robustness_section(
    report: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, Any] | None:
    """Content of the section; None where nothing was scored under corruptions."""
    robustness = report.get('robustness')
    if not robustness:
        return None
    header, rows = corruption_table(robustness)
    return {
        'note': robustness_note(robustness),
        'means': robustness_rows(report),
        'plots': _plots(robustness),
        'header': header,
        'rows': rows,
        'examples': _examples(robustness, list(arrays.get('corrupted', ()))),
    }


def _plots(robustness: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Of the first metric a plot for each family: the score against the strength, 0 is clean."""
    name = next(iter(robustness['clean']))
    info, clean = describe(name), robustness['clean'][name]
    by_corruption = {c: rows[name] for c, rows in robustness['by_corruption'].items()}
    known = [v for row in by_corruption.values() for v in row if v is not None] + [clean or 0]
    top = 1.08 * max(known) or 1.0
    label = f'{info.label}, {info.unit}' if info.unit else info.label
    plots = []
    for family, names in FAMILIES.items():
        series = {
            corruption.replace('_', ' '): [clean, *by_corruption[corruption]]
            for corruption in names
            if corruption in by_corruption
        }
        if series:
            strengths = [0, *robustness['strengths']]
            title = f'{info.label} under {family}'
            svg = line_plot(title, strengths, series, 'strength, 0: clean', label, top)
            plots.append((family, Markup(svg)))
    return plots


def _examples(robustness: Mapping[str, Any], pictures: Sequence[np.ndarray]) -> list[dict]:
    names = ['clean', *(name.replace('_', ' ') for name in robustness['by_corruption'])]
    found = []
    for name, picture in zip(names, pictures, strict=False):
        uri, width, height = data_uri(Image.fromarray(picture))
        found.append({'name': name, 'uri': uri, 'width': width, 'height': height})
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _share(value: float | None) -> str:
    return '–' if value is None else f'{100 * value:.1f} %'
