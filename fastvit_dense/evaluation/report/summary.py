"""One page over several reports."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...checkpoints.files import write_files
from ...errors import DataError
from ..metric_names import format_published
from . import tables as markdown
from .compare import read_report
from .content import (
    data_labels,
    headline_rows,
    measured_text,
    metric_label,
    notes,
    protocol_line,
    report_title,
    scored_on,
)
from .costs import cost_groups, error_groups
from .diagnosis import more_blocks
from .html import headline_cards, plots_of, render
from .presentation import Presentation

_PICTURE = re.compile(
    r'<figure(?: class="([^"]*)")?>\s*<img src="(data:image/jpeg;base64,[A-Za-z0-9+/=]+)"'
)
GROUPS = {'median': 1, 'worst': 2, 'likely label errors': 1}  # pictures shown of each


def write_summary(
    report_dirs: Sequence[str | Path],
    out: str | Path,
    presentations: Mapping[str, Presentation],
) -> Path:
    """Write `summary.html` and `summary.md`: the headline numbers of reports, with links.

    Args:
        report_dirs: Folders that `write_report` wrote into.
        out: Folder to write into; made if it does not exist. The links are relative to it.
        presentations: How the results of each task are shown, by its name.

    Returns:
        Path of `summary.html`.

    Raises:
        DataError: No report, or a folder holds none that is whole; the message names the file.
    """
    if not report_dirs:
        raise DataError('summary: expected at least one report')
    runs = [_run(Path(folder), Path(out), presentations) for folder in report_dirs]
    page = render('summary.html.jinja', runs=runs)
    write_files(out, {'summary.md': _markdown(runs), 'summary.html': page})
    return Path(out) / 'summary.html'


def _run(folder: Path, out: Path, presentations: Mapping[str, Presentation]) -> dict[str, Any]:
    report = read_report(folder)
    if report['task'] in presentations:
        report = presentations[report['task']].shown(report)
    of = f'{folder.name}, {report_title(report)}'
    relative = Path(os.path.relpath(folder / 'report.html', out)).as_posix()
    return {
        'task': Presentation.of(report).title,
        'title': report_title(report),
        'scored_on': scored_on(report),
        'labels': data_labels(report),
        'headlines': headline_cards(report),
        'rows': [
            row | {'measured': measured_text(report, row['metric'])}
            for row in headline_rows(report)
        ],
        'link': quote(relative),
        'protocol': protocol_line(report),
        'note': notes(report),
        'costs': [*cost_groups(report), *error_groups(report)],
        'blocks': _blocks(report, of),
        'training': plots_of(report, training=True, of=of),
        'pictures': _pictures(folder / 'report.html'),
    }


def _blocks(report: Mapping[str, Any], of: str) -> list[dict[str, Any]]:
    """Boundaries and calibration, with the number that the class scores are summed up in."""
    blocks = more_blocks(report, of)
    for block in blocks:
        name = block['metric']
        if name in report['metrics']:
            number = f'{metric_label(report, name)} {measured_text(report, name)}'
            block['note'] = f'{number[:1].upper()}{number[1:]}. {block["note"]}'
    return blocks


def _pictures(page: Path) -> list[tuple[str, str]]:
    """Some pictures of a report's gallery: group and the data URI that stands in its page."""
    if not page.is_file():
        return []
    found = _PICTURE.findall(page.read_text(encoding='utf-8'))
    by_group = {group: [uri for name, uri in found if name == group] for group in ['', *GROUPS]}
    shown = [(g, uri) for g, count in GROUPS.items() for uri in by_group[g][:count]]
    return [(g.capitalize(), uri) for g, uri in shown or [('', uri) for uri in by_group[''][:1]]]


def _markdown(runs: Sequence[Mapping[str, Any]]) -> str:
    parts = ['# Summary']
    for run in runs:
        parts.append(f'## {run["task"]}: {markdown.cell(run["title"])}')
        parts.append(f'Scored on {markdown.cell(run["scored_on"])}. [Report]({run["link"]})')
        parts += [f'**{label}.**' for label in run['labels']]
        rows = [
            (
                f'{row["label"]} ({row["metric"]})',
                row['measured'],
                format_published(row['metric'], row['paper']),
            )
            for row in run['rows']
        ]
        parts.append(markdown.table(('', 'measured', 'paper'), rows))
        parts += [f'{markdown.cell(run["protocol"])}.'] if run['protocol'] else []
        for group in run['costs']:
            parts.append(f'What costs most, {group.title.lower()}: {group.note}')
            parts.append(markdown.table(('', 'cost'), [(row.name, row.text) for row in group.rows]))
    return '\n\n'.join(parts) + '\n'
