"""Benchmark results as a Markdown table, a picture and a JSON file beside each other."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import BenchmarkError
from fastvit_dense.evaluation.report.tables import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {
    'eager': '#4477aa',
    'compiled': '#66ccee',
    'cudagraph': '#aa3377',
    'onnxruntime': '#228833',
    'openvino': '#ee6677',
}
PART_COLORS = ('#ccbb44', '#66ccee', '#aa3377', '#4477aa', '#ee6677', '#bbbbbb')


def check_out(path: Path) -> None:
    """Make the folder of ``--out``, and see before hours of work that a file can be written.

    Raises:
        BenchmarkError: It is no .json, a folder, or cannot be written.
    """
    if path.suffix != '.json':
        raise BenchmarkError(f'--out {path}: expected a file name that ends in .json')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError('a folder, or not writable')
    except OSError as error:
        raise BenchmarkError(f'--out {path}: cannot be written: {error}') from error


def write_benchmark(
    path: Path, results: Mapping[str, Any], text: str = '', figure: 'Figure | None' = None
) -> None:
    """Write ``path``, and beside it the text, if any, as .md and the picture, if any, as .png."""
    path.write_text(json.dumps(results, indent=2) + '\n')
    if text:
        path.with_suffix('.md').write_text(text + '\n')
    if figure is not None:
        figure.savefig(path.with_suffix('.png'), dpi=120, bbox_inches='tight')


def machine_line(results: Mapping[str, Any]) -> str:
    """One sentence on where the numbers come from."""
    machine = results['machine']
    device = machine.get('gpu') or machine['cpu']
    peaks = [
        f'{value / 1e9:.0f} {"GB/s" if name.startswith("bytes") else "GMAC/s " + name[-4:]}'
        for name, value in results.get('peaks', {}).items()
    ]
    measured = f'; measured peaks {", ".join(peaks)}' if peaks else ''
    threads = f'threads: {machine["threads"]}, PyTorch {machine["torch"]}'
    return f'{device}, cores: {machine["cores"]}, {threads}{measured}.'


def backbone_table(results: Mapping[str, Any]) -> str:
    """All rows, with what the columns mean."""
    header = ['model', 'form', 'run by', 'size', 'batch', 'params M', 'GMACs', 'ms', 'spread']
    header += ['images/s', 'x faster', 'of matrix peak', 'of bandwidth', 'error']
    rows, failed = [], []
    for row in results['rows']:
        if row['reason']:
            failed.append(f'- {row["label"]} at {row["size"]}: {row["reason"]}')
        way = '/'.join(row['label'].split('/')[2:])
        rows.append(
            [
                *(row['model'], row['form'], way, row['size'], row['batch_size']),
                number(row['parameters'], '.2f', 1e-6),
                number(row['macs'], '.2f', 1e-9),
                'failed' if row['reason'] else number(row['seconds'], '.1f', 1e3),
                number(row['spread'], '.0%'),
                number(row['images_per_second'], '.1f'),
                number(row['times_faster'], '.2f'),
                number(row['matrix_share'], '.0%'),
                number(row['bandwidth_share'], '.0%'),
                number(row['error'], '.1g'),
            ]
        )
    notes = [
        machine_line(results),
        f'Random weights; medians of {rounds_of(results)} rounds in turns; spread: quartiles over '
        f'median; x faster: than {results["reference"]}, median of the ratios within a round; '
        'bandwidth: of the traffic without fusion; error: largest deviation from eager fp32 over '
        'the root mean square.',
    ]
    parts = [table(header, rows, text_columns=3), *notes]
    if failed:
        parts.append('Not measured:\n\n' + '\n'.join(failed))
    return '\n\n'.join(parts)


def rounds_of(results: Mapping[str, Any]) -> str:
    """How many rounds were timed: a number, or the smallest and the largest."""
    counts = sorted({len(row['rounds']) for row in results['rows'] if row['rounds']})
    return '-'.join(str(count) for count in dict.fromkeys((counts or [0])[:: len(counts) - 1 or 1]))


def number(value: float | None, form: str, scale: float = 1.0) -> str:
    """A number of a table, empty where there is none."""
    return '' if value is None else format(value * scale, form)


def backbone_figure(results: Mapping[str, Any]) -> 'Figure':
    """Bars of milliseconds with their quartiles: a panel for each size and batch size."""
    groups: dict[tuple[int, int], list] = {}
    for row in results['rows']:
        groups.setdefault((row['size'], row['batch_size']), []).append(row)
    height = 0.22 * max(len(rows) for rows in groups.values()) + 1.4
    figure = _figure(4 + 4 * len(groups), height)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for panel, ((size, batch_size), rows) in zip(panels, groups.items(), strict=True):
        limit = 1.25e3 * max((row['seconds'] or 0 for row in rows), default=0) or 1
        for index, row in enumerate(rows):
            _bar(panel, index, row, limit)
        panel.set_title(f'{size} x {size}' + (f', batch {batch_size}' if batch_size > 1 else ''))
        panel.set_xlabel('milliseconds')
        panel.set_xlim(0, limit)  # a disturbed round may lie beyond
        panel.set_yticks(range(len(rows)), [row['label'] for row in rows], fontsize=8)
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.grid(axis='x', alpha=0.3)
        panel.set_axisbelow(True)
    return figure


def _bar(panel: Any, index: int, row: Mapping[str, Any], limit: float) -> None:
    if row['reason']:
        panel.text(0, index, ' not measured', va='center', fontsize=7, color='0.5')
        return
    middle = 1e3 * row['seconds']
    low, high = (1e3 * value for value in row['quartiles'])
    panel.barh(
        index,
        middle,
        color=COLORS.get(row['backend'], '0.6'),
        alpha=0.55 if row['form'] == 'train' else 1.0,
        xerr=[[middle - low], [high - middle]],
        error_kw={'lw': 1, 'capsize': 2},
    )
    end = high if high < 0.9 * limit else middle
    panel.text(end, index, f'  {middle:.1f}', va='center', fontsize=7)


def repmixer_table(results: Mapping[str, Any]) -> str:
    """Pooling, RepMixer and what is saved, by size and way of running."""
    header = ['run by', 'size', 'pooling ms', 'RepMixer ms', 'saved', 'quartiles', 'phone (paper)']
    rows, failed = [], []
    for item in results['reductions']:
        quartiles = item['quartiles'] and ' to '.join(f'{x:.1%}' for x in item['quartiles'])
        if item['reason']:
            failed.append(f'- {way_of(item)} at {item["size"]}: {item["reason"]}')
        rows.append(
            [
                way_of(item),
                item['size'],
                number(item['pooling_seconds'], '.1f', 1e3),
                number(item['repmixer_seconds'], '.1f', 1e3),
                'failed' if item['reason'] else number(item['saved'], '.1%'),
                quartiles or '',
                number(item['paper'], '.1%'),
            ]
        )
    parts = [
        table(header, rows),
        machine_line(results),
        f'MetaFormer-S12, random weights; medians of {rounds_of(results)} rounds in turns; saved: '
        "the share of pooling's time, by round. The paper's are read off its Figure 3 (iPhone 12 "
        'Pro, Core ML); its text says 25.1 % at 384 and 43.9 % at 1024.',
    ]
    if failed:
        parts.append('Not measured:\n\n' + '\n'.join(failed))
    return '\n\n'.join(parts)


def way_of(item: Mapping[str, Any]) -> str:
    """Backend, precision and layout (with a batch size above 1) of a row."""
    parts = [item['backend'], item['precision']]
    if item['layout'] != 'contiguous':
        parts.append(item['layout'])
    if item['batch_size'] > 1:
        parts.append(f'batch {item["batch_size"]}')
    return '/'.join(parts)


def repmixer_figure(results: Mapping[str, Any]) -> 'Figure':
    """Milliseconds of both mixers by size, and what RepMixer saves beside the paper's phone."""
    figure = _figure(11, 4.2)
    times, saved = figure.subplots(1, 2)
    ways: dict[str, list] = {}
    for item in results['reductions']:
        if not item['reason']:
            ways.setdefault(way_of(item), []).append(item)
    for index, (way, items) in enumerate(ways.items()):
        items = sorted(items, key=lambda item: item['size'])
        sizes, color = [item['size'] for item in items], f'C{index}'
        for key, style in (('pooling_seconds', '--'), ('repmixer_seconds', '-')):
            values = [1e3 * item[key] for item in items]
            name = f'{"RepMixer" if style == "-" else "pooling"}, {way}'
            times.plot(sizes, values, style, marker='o', ms=3.5, color=color, label=name)
        middle = [item['saved'] for item in items]
        low, high = zip(*(item['quartiles'] for item in items), strict=True)
        saved.plot(sizes, middle, '-', marker='o', ms=3.5, color=color, label=way)
        saved.fill_between(sizes, low, high, color=color, alpha=0.2, lw=0)
    paper = sorted({(i['size'], i['paper']) for i in results['reductions'] if i['paper']})
    if paper:
        saved.plot(*zip(*paper, strict=True), 'k:', marker='x', label='iPhone 12 Pro (paper)')
    times.set(xlabel='image size', ylabel='milliseconds', yscale='log', title='MetaFormer-S12')
    saved.set(xlabel='image size', title="Share of pooling's time that RepMixer saves")
    saved.yaxis.set_major_formatter(lambda value, _: f'{value:.0%}')
    for panel in (times, saved):
        panel.grid(alpha=0.3)
        if panel.has_data():
            panel.legend(fontsize=8)
    return figure


def model_table(results: Mapping[str, Any]) -> str:
    """Milliseconds of every part of every model."""
    parts = results['parts']
    header = ['model', 'form', 'picture', 'network input', 'ms', 'spread', 'x faster']
    header += [f'{part} ms' for part in parts] + ['after the network', 'detections']
    rows, notes = [], []
    for row in results['rows']:
        if row['reason']:
            notes.append(f'- {row["model"]} {row["form"]}: not measured: {row["reason"]}')
        times = row['part_seconds'] or {}
        rows.append(
            [
                *(row['model'], row['form'], row['picture'] or '', row['input'] or ''),
                'failed' if row['reason'] else number(row['seconds'], '.1f', 1e3),
                number(row['spread'], '.0%'),
                number(row['times_faster'], '.2f'),
                *(number(times.get(part), '.1f', 1e3) for part in parts),
                number(row['post_share'], '.1%'),
                '' if row['detections'] is None else row['detections'],
            ]
        )
        notes += [f'- {row["model"]}: {note}' for note in row['notes']]
    texts = [
        table(header, rows, text_columns=2),
        machine_line(results),
        f'From an image file to a result object; medians of {rounds_of(results)} rounds in turns, '
        "every part's own median; x faster: than the model's first row, by round.",
    ]
    if notes:
        texts.append('\n'.join(dict.fromkeys(notes)))
    return '\n\n'.join(texts)


def model_figure(results: Mapping[str, Any]) -> 'Figure':
    """Stacked bars of the parts; a panel for each model, for their times differ a hundredfold."""
    models: dict[str, list] = {}
    for row in results['rows']:
        models.setdefault(row['model'], []).append(row)
    heights = [len(rows) + 1 for rows in models.values()]
    figure = _figure(9, 0.42 * sum(heights) + 1.2)
    panels = figure.subplots(len(models), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, (model, rows) in zip(panels, models.items(), strict=True):
        for index, row in enumerate(rows):
            left = 0.0
            for part, color in zip(results['parts'], PART_COLORS, strict=True):
                width = 1e3 * (row['part_seconds'] or {}).get(part, 0)
                panel.barh(index, width, left=left, color=color, label=part)
                left += width
            text = '  not measured' if row['reason'] else f'  {1e3 * row["seconds"]:.0f} ms'
            panel.text(left, index, text, va='center', fontsize=8)
        panel.set_title(model, fontsize=9, loc='left')
        panel.set_yticks(range(len(rows)), [row['form'] for row in rows], fontsize=8)
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.margins(x=0.15)
        panel.set_xlim(left=0)
    panels[-1].set_xlabel('milliseconds')
    handles, labels = panels[0].get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    figure.legend(known.values(), known, loc='outside lower center', ncols=6, fontsize=8)
    return figure


def _figure(width: float, height: float) -> 'Figure':
    """A figure without pyplot: no display is asked for and none stays in memory."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout='constrained')
