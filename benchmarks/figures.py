"""Benchmark results as pictures."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from benchmarks.tables import way_of

COLORS = {
    'eager': '#4477aa',
    'compiled': '#66ccee',
    'cudagraph': '#aa3377',
    'onnxruntime': '#228833',
    'openvino': '#ee6677',
}
PART_COLORS = ('#ccbb44', '#66ccee', '#aa3377', '#4477aa', '#ee6677', '#bbbbbb')


def backbone_figure(results: Mapping[str, Any]) -> Figure:
    """Bars of milliseconds with their quartiles: a panel for each size and batch size."""
    groups: dict[tuple[int, int], list] = {}
    for row in results['rows']:
        groups.setdefault((row['size'], row['batch_size']), []).append(row)
    height = 0.22 * max(len(rows) for rows in groups.values()) + 1.4
    figure = new_figure(4 + 4 * len(groups), height)
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


def repmixer_figure(results: Mapping[str, Any]) -> Figure:
    """Milliseconds of both mixers by size, and what RepMixer saves beside the paper's phone."""
    figure = new_figure(11, 4.2)
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


def model_figure(results: Mapping[str, Any]) -> Figure:
    """Stacked bars of the parts; a panel for each model, for their times differ a hundredfold."""
    models: dict[str, list] = {}
    for row in results['rows']:
        models.setdefault(row['model'], []).append(row)
    heights = [len(rows) + 1 for rows in models.values()]
    figure = new_figure(9, 0.42 * sum(heights) + 1.2)
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


def new_figure(width: float, height: float) -> Figure:
    """A figure without pyplot: no display is asked for and none stays in memory."""
    return Figure(figsize=(width, height), layout='constrained')
