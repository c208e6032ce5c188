"""One table of several reports, with differences."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...checkpoints.files import read_json, write_files
from ...datasets.values import is_integer, is_number
from ...errors import DataError
from ...limits import REPORT_BYTES
from ..bootstrap import Interval, differences
from ..metric_names import (
    KINDS,
    describe,
    format_difference,
    format_interval,
    format_value,
    is_defined,
)
from ..record import EvaluationResult
from ..statistics import Statistics
from ..statistics_file import STATISTICS_FILE, read_statistics
from . import tables as markdown

SHOWN_THRESHOLDS = 20
_SETTINGS = ('dataset', 'split', 'samples')


def read_report(path: str | Path) -> dict[str, Any]:
    """Read a `report.json`; `path` may be the folder that holds it.

    Raises:
        DataError: The file is missing, cut off, or no report; the message names file and field.
    """
    path = Path(path)
    if path.is_dir():
        path = path / 'report.json'
    try:
        report = read_json(path, REPORT_BYTES)
    except FileNotFoundError:
        raise DataError(f'{path}: no such file; expected the report.json of a run') from None
    except ValueError as error:
        raise DataError(f'{path}: {error}') from None
    if not isinstance(report, dict):
        raise DataError(f'{path}: expected a JSON object, found {type(report).__name__}')
    fields = dict(task=str, dataset=str, split=str, samples=int, metrics=dict, protocol=dict)
    for name, kind in fields.items():
        if not isinstance(report.get(name), kind):
            found = type(report[name]).__name__ if name in report else 'nothing'
            raise DataError(f'{path}: field {name!r}: expected {kind.__name__}, found {found}')
    if not is_integer(samples := report['samples']):
        raise DataError(f"{path}: field 'samples': expected a count, found {samples!r:.40}")
    for name, value in report['metrics'].items():
        if value is not None and not is_number(value):
            raise DataError(f'{path}: metrics[{name!r}]: expected a number, found {value!r:.40}')
    return report


def check_baseline(report: dict[str, Any], **expected: Any) -> None:
    """See that a report is of what is measured now.

    Args:
        report: From `read_report`.
        **expected: Its fields as they must be.

    Raises:
        DataError: A field has another value.
    """
    for name, value in expected.items():
        if report[name] != value:
            raise DataError(f'baseline: field {name!r}: expected {value!r}, found {report[name]!r}')


def change_from(
    report: dict[str, Any], result: EvaluationResult, statistics: Statistics | None = None
) -> dict[str, Any]:
    """Tell of the change from an earlier report, for a protocol.

    Args:
        report: From `read_report`.
        result: What was measured now.
        statistics: What stands beside the report.

    Returns:
        `baseline`, the form of the model then; `change from baseline`: the difference of
        each metric that is defined both times; with statistics of the same images
        `change with interval`: differences, their intervals and whether they are shown, in words;
        else `change without interval`: why.

    Raises:
        DataError: The report is of another task, or of another number of samples.
    """
    check_baseline(report, task=result.task, samples=result.samples)
    before = report['metrics']
    found = None
    if statistics is not None and result.statistics is not None:
        found = differences(statistics, result.statistics)
    in_words = {
        name: difference_text(name, result.metrics[name] - before[name], interval)
        for name, interval in (found or {}).items()
        if is_number(before.get(name)) and name in result.metrics
    }
    return {
        'baseline': report['protocol'].get('form', 'unknown'),
        'change from baseline': {
            name: value - before[name]
            for name, value in result.metrics.items()
            if name in before and is_defined(name, value) and is_defined(name, before[name])
        },
        **(
            {'change with interval': in_words}
            if in_words
            else {'change without interval': _why_no_interval(statistics, result.statistics)}
        ),
    }


def _why_no_interval(before: Statistics | None, now: Statistics | None) -> str:
    if before is None:
        return f'the baseline has no {STATISTICS_FILE} of the same evaluation beside its report'
    if now is None:
        return 'the metric keeps nothing of single images'
    return 'the images are not the same, or fewer than two'


def difference_text(name: str, difference: float, interval: Interval | None) -> str:
    """A difference, its interval and whether it is shown: `+0.004 [-0.001, 0.009] not shown`."""
    text = format_difference(name, difference)
    if interval is None:
        return text
    word = 'shown' if interval.excludes_zero else 'not shown'
    return f'{text} {format_interval(name, asdict(interval))} {word}'


def add_baseline(result: EvaluationResult, report: dict[str, Any]) -> None:
    """Put the calibration of an earlier report beside that of a result, as `baseline`."""
    before = _calibration(report)
    for kind, entry in (result.diagnosis.get('calibration') or {}).items():
        if kind in before:
            entry['baseline'] = before[kind]


def _calibration(report: dict[str, Any]) -> dict[str, Any]:
    """Calibration as a report tells it, by kind; reports of earlier versions tell nothing."""
    diagnosis = report.get('diagnosis')
    found = diagnosis.get('calibration') if isinstance(diagnosis, dict) else None
    return {
        kind: {name: entry[name] for name in ('bins', 'expected_error', 'thresholds')}
        for kind, entry in (found if isinstance(found, dict) else {}).items()
        if _is_calibration(entry)
    }


def _is_calibration(entry: Any) -> bool:
    """Tell whether an entry holds all that is shown of a calibration."""
    if not isinstance(entry, dict) or not is_number(entry.get('expected_error')):
        return False
    bins, thresholds = (entry.get(name) for name in ('bins', 'thresholds'))
    if not isinstance(bins, list) or not isinstance(thresholds, list) or not bins:
        return False
    return all(
        isinstance(row, dict)
        and is_number(row.get('confidence'))
        and is_number(row.get('precision'))
        for row in bins
    ) and all(
        isinstance(row, dict)
        and isinstance(row.get('name'), str)
        and all(row.get(key) is None or is_number(row[key]) for key in ('threshold', 'f1'))
        for row in thresholds
    )


def _numbers(report: dict[str, Any]) -> dict[str, Any]:
    """Metrics and calibration errors."""
    errors = {f'{kind}_ECE': e['expected_error'] for kind, e in _calibration(report).items()}
    return report['metrics'] | errors


def _moved_thresholds(runs: Sequence[str], reports: Sequence[dict[str, Any]]) -> list[dict]:
    """Best score thresholds by class that differ most between runs: kind, class and values."""
    tables: dict[tuple[str, str], list[Any]] = {}
    for run, report in enumerate(reports):
        for kind, entry in _calibration(report).items():
            for line in entry['thresholds']:
                row = tables.setdefault((kind, line['name']), [None] * len(runs))
                row[run] = line.get('threshold')
    rows = [
        {'kind': kind, 'class': name, 'thresholds': values}
        for (kind, name), values in tables.items()
        if None not in values and len(set(values)) > 1
    ]
    rows.sort(key=lambda row: min(row['thresholds']) - max(row['thresholds']))
    return rows[:SHOWN_THRESHOLDS]


def compare_reports(
    paths: Sequence[str | Path], work_dir: str | Path | None = None
) -> dict[str, Any]:
    """Put several reports of one task into one table; the first is what the others differ from.

    Prints the table as Markdown and, with `work_dir`, writes `compare.json` and
    `compare.md` there.

    Args:
        paths: At least two `report.json` files or folders that hold one.
        work_dir: Where to write; None only prints.

    Returns:
        `task`, `runs` (their names), `rows`: per metric `metric`, `values` and
        `differences` to the first run (None where a value is missing), and `warnings`: what
        makes the runs hard to compare, such as another dataset, split or protocol; `thresholds`:
        the score thresholds of the best F1 that differ most, by `kind` and `class`. Where runs
        have `per_image.npz` of the same images beside their reports, the rows of their numbers
        have `intervals` of the differences, by a bootstrap in pairs, and `shown`: whether they
        leave 0 out. `uncertainty` of a row are the intervals of the values, where reports have
        them.

    Raises:
        DataError: Fewer than two reports, a broken one, or reports of different tasks.
    """
    if len(paths) < 2:
        raise DataError(f'compare: expected at least two reports, found {len(paths)}')
    reports = [read_report(path) for path in paths]
    tasks = [report['task'] for report in reports]
    if len(set(tasks)) > 1:
        found = ', '.join(f'{path}: {task}' for path, task in zip(paths, tasks, strict=True))
        raise DataError(f'compare: expected reports of one task, found {found}')
    statistics = [
        read_statistics(path, report['metrics'])
        for path, report in zip(paths, reports, strict=True)
    ]
    runs = _run_names(paths)
    table = {
        'task': tasks[0],
        'runs': runs,
        'rows': _rows(reports, _intervals(statistics)),
        'thresholds': _moved_thresholds(runs, reports),
        'warnings': [*_warnings(runs, reports), *_other_images(runs, statistics)],
    }
    text = comparison_markdown(table)
    print(text)
    if work_dir is not None:
        as_json = json.dumps(table, indent=2, allow_nan=False, ensure_ascii=False) + '\n'
        write_files(work_dir, {'compare.md': text, 'compare.json': as_json})
    return table


def comparison_markdown(table: dict[str, Any]) -> str:
    """The table of `compare_reports` as Markdown: values, and after each the difference."""
    rows = []
    for row in table['rows']:
        name, unit = row['metric'], describe(row['metric']).unit
        cells = [f'{name} ({unit})' if unit else name]
        for run, (value, difference) in enumerate(
            zip(row['values'], row['differences'], strict=True)
        ):
            change = ''
            if run and difference is not None:
                ends = row['intervals'][run] if 'intervals' in row else None
                change = f' ({difference_text(name, difference, ends and Interval(**ends))})'
            own = row['uncertainty'][run] if 'uncertainty' in row else None
            interval = f' {format_interval(name, own)}' if own else ''
            cells.append(f'{format_value(name, value)}{interval}{change}')
        rows.append(cells)
    header = ['metric', *(markdown.cell(run) for run in table['runs'])]
    lines = [f'# Comparison: {table["task"]}', '', markdown.table(header, rows)]
    if table['thresholds']:
        rows = [
            [f'{row["class"]}, {KINDS.get(row["kind"], row["kind"])}']
            + [f'{value:.3f}' for value in row['thresholds']]
            for row in table['thresholds']
        ]
        lines += ['', 'Score thresholds of the best F1 that differ most:', '']
        lines.append(markdown.table(['class', *header[1:]], rows))
    lines += [''] + [
        f'- Not like with like: {markdown.cell(warning)}' for warning in table['warnings']
    ]
    return '\n'.join(lines).rstrip() + '\n'


def _run_names(paths: Sequence[str | Path]) -> list[str]:
    """The folders' names, or as much more of the paths as it takes to tell them apart."""
    folders = [Path(path).parent if Path(path).suffix == '.json' else Path(path) for path in paths]
    parts = [folder.resolve().parts for folder in folders]
    files = [Path(path).name for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f'{index + 1}: {file}' for index, file in enumerate(files)]


def _intervals(statistics: Sequence[Statistics | None]) -> list[dict[str, Interval]]:
    """Intervals of the differences of each run to the first, by metric."""
    first, *others = statistics
    found = [first and other and differences(first, other) for other in others]
    return [{}, *(by_name or {} for by_name in found)]


def _ends(report: dict[str, Any], name: str) -> dict[str, float] | None:
    """Interval of a metric as a report tells it; None where it tells none."""
    told = report.get('uncertainty')
    ends = told.get(name) if isinstance(told, dict) else None
    if not isinstance(ends, dict) or not all(is_number(ends.get(end)) for end in ('low', 'high')):
        return None
    return {end: ends[end] for end in ('low', 'high')}


def _other_images(runs: Sequence[str], statistics: Sequence[Statistics | None]) -> list[str]:
    """Warnings of runs that scored other images than the first."""
    first, *others = statistics
    return [
        f'images: other ones in {run} than in {runs[0]}, hence no intervals'
        for run, other in zip(runs[1:], others, strict=True)
        if first and other and sorted(first.ids.tolist()) != sorted(other.ids.tolist())
    ]


def _rows(
    reports: Sequence[dict[str, Any]], intervals: Sequence[dict[str, Interval]]
) -> list[dict[str, Any]]:
    numbers: list[dict[str, Any]] = [_numbers(report) for report in reports]
    names = list(dict.fromkeys(name for found in numbers for name in found))
    rows = []
    for name in names:
        values: list[Any] = [found.get(name) for found in numbers]
        first = values[0]
        changes = [
            value - first if is_defined(name, value) and is_defined(name, first) else None
            for value in values
        ]
        row: dict[str, Any] = {'metric': name, 'values': values, 'differences': changes}
        ends = [by_name.get(name) for by_name in intervals]
        if any(ends):
            row['intervals'] = [end and asdict(end) for end in ends]
            row['shown'] = [end and end.excludes_zero for end in ends]
        own = [_ends(report, name) for report in reports]
        if any(own):
            row['uncertainty'] = own
        rows.append(row)
    return rows


def _warnings(runs: Sequence[str], reports: Sequence[dict[str, Any]]) -> list[str]:
    warnings = []
    first = reports[0]
    for run, report in zip(runs[1:], reports[1:], strict=True):
        settings = [(name, first[name], report[name]) for name in _SETTINGS]
        names = dict.fromkeys([*first['protocol'], *report['protocol']])
        names.pop('rule', None)  # in words what others say; earlier versions wrote none
        settings += [
            (f'protocol: {name}', first['protocol'].get(name), report['protocol'].get(name))
            for name in names
        ]
        warnings += [
            f'{name}: {_say(ours)} in {runs[0]}, {_say(theirs)} in {run}'
            for name, ours, theirs in settings
            if ours != theirs
        ]
    return warnings


def _say(value: Any) -> str:
    return 'not given' if value is None else str(value)
