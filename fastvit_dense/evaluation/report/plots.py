"""Plots of a report as inline SVG that takes its colours and its font from the page."""

import hashlib
import html
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that matplotlib draws with and `_to_svg` replaces by the page's CSS variables.
INK, LINE, FAINT, CARD = '#111101', '#111102', '#111103', '#111104'
SERIES = ('#1111a0', '#1111a1', '#1111a2', '#1111a3', '#1111a4', '#1111a5')
_VARIABLES = {
    INK: 'var(--ink)',
    LINE: 'var(--line)',
    FAINT: 'var(--faint)',
    CARD: 'var(--card)',
} | {colour: f'var(--series-{index})' for index, colour in enumerate(SERIES)}
_STYLE = {
    'svg.fonttype': 'none',
    'svg.hashsalt': 'fastvit_dense',
    'font.size': 10.5,
    'font.sans-serif': ['DejaVu Sans'],
    'axes.edgecolor': LINE,
    'axes.labelcolor': FAINT,
    'axes.titlesize': 12,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': LINE,
    'grid.linewidth': 0.6,
    'xtick.color': FAINT,
    'ytick.color': FAINT,
    'xtick.major.size': 0,
    'ytick.major.size': 0,
    'text.color': INK,
    'legend.frameon': False,
    'legend.fontsize': 9.5,
    'lines.linewidth': 1.8,
    'text.parse_math': False,
}
_WIDTH = 4.6  # inches of 72 points: about the size at which a phone shows it


def line_plot(
    title: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    x_label: str,
    y_label: str,
    top: float = 1.01,
) -> str:
    """Lines over one axis; at most six are told apart by colour, more by lightness.

    Args:
        title: What a screen reader says; another one for each plot of a page.
        x: Positions, shared by all lines.
        series: Values by name, from 0 to `top`; None and NaN leave a gap.
        x_label: Axis title with its unit.
        y_label: Axis title with its unit.
        top: Upper end of the axis of values.

    Returns:
        An `<svg>` element.
    """
    with _figure(_WIDTH, 3.3) as (figure, axes):
        many = len(series) > len(SERIES)
        for index, (name, values) in enumerate(series.items()):
            y = np.array([np.nan if value is None else value for value in values], dtype=float)
            strength = 1 - 0.8 * index / max(len(series) - 1, 1)
            color = SERIES[0 if many else index]
            dashes = '-' if many or index < 2 else (0, (4, 2))  # so that two can lie on each other
            alpha = strength if many else 1
            axes.plot(x, y, label=name, color=color, alpha=alpha, linestyle=dashes)
        axes.set(xlabel=x_label, ylabel=y_label, ylim=(0, top))
        axes.set_xlim(min(x), max(x))
        if all(float(place).is_integer() for place in x):  # epochs, steps
            axes.locator_params(axis='x', integer=True)
        if len(series) > 1:
            axes.legend(loc='best', ncols=2 if len(series) > 6 else 1)
        return _to_svg(figure, title)


def bar_plot(title: str, bars: Mapping[str, float], x_label: str) -> str:
    """Horizontal bars with their values, the first on top.

    Args:
        title: What a screen reader says; another one for each plot of a page.
        bars: Values by name.
        x_label: Axis title with its unit.

    Returns:
        An `<svg>` element.
    """
    with _figure(_WIDTH, 0.9 + 0.34 * len(bars)) as (figure, axes):
        places, values = range(len(bars)), list(bars.values())
        axes.barh(places, values, color=SERIES[0], height=0.6)
        digits = 3 if max(map(abs, values), default=1) < 1 else 2
        for place, value in zip(places, values, strict=True):
            axes.text(max(value, 0), place, f' {value:.{digits}f}', va='center', fontsize=9.5)
        axes.set_yticks(places, list(bars))
        axes.set(xlabel=x_label, ylim=(len(bars) - 0.5, -0.5))
        axes.margins(x=0.2)
        axes.grid(False, axis='y')
        return _to_svg(figure, title)


def reliability_plot(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Precision over confidence, with the diagonal on which both agree.

    Args:
        title: What a screen reader says; another one for each plot of a page.
        lines: Confidence and precision of each bin, 0-1, by name.

    Returns:
        An `<svg>` element.
    """
    with _figure(_WIDTH, 3.3) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (2, 2)))
        for index, (name, points) in enumerate(lines.items()):
            x, y = np.array(points).T
            color = SERIES[index % len(SERIES)]
            axes.plot(x, y, label=name, color=color, marker='o', markersize=4)
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel='confidence', ylabel='share that is right')
        axes.legend(loc='upper left')
        return _to_svg(figure, title)


def confusion_plot(matrix: np.ndarray, names: Sequence[str], numbered: bool) -> str:
    """A confusion matrix, rows (truth) summing to 1.

    Args:
        matrix: (C, C) shares from 0 to 1; NaN where a class does not occur.
        names: The C class names.
        numbered: Whether the cells have their shares as numbers, in percent.

    Returns:
        An `<svg>` element.
    """
    count = len(names)
    side = max(4.8, min(7.2, 0.34 * count + 1.6))
    with _figure(side, side) as (figure, axes):
        shares = np.nan_to_num(np.asarray(matrix, dtype=float))
        for (row, column), share in np.ndenumerate(shares):
            # White-to-blue by opacity, so that an empty cell has the page's own background.
            axes.add_patch(_cell(column, row, SERIES[0], float(share)))
            if numbered and share >= 0.005:
                ink = CARD if share > 0.55 else INK
                text = f'{100 * share:.0f}'
                axes.text(column, row, text, color=ink, ha='center', va='center', fontsize=9)
        axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), aspect='equal')
        axes.grid(False)
        size = 9.5 if count <= 12 else 8
        short = [name if len(name) <= 18 else name[:17] + '…' for name in names]
        axes.set_xticks(range(count), short, rotation=90, fontsize=size)
        axes.set_yticks(range(count), short, fontsize=size)
        axes.set(xlabel='predicted', ylabel='truth')
        return _to_svg(figure, 'Confusion matrix, share of each true class in percent')


def _cell(column: int, row: int, colour: str, opacity: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (column - 0.5, row - 0.5),
        1,
        1,
        facecolor=(*_rgb(colour), opacity),
        edgecolor=LINE,
        linewidth=0.4,
    )


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


class _figure:
    """A figure with one axes in the report's style, off pyplot's global state."""

    def __init__(self, width: float, height: float) -> None:
        self.size = (width, height)

    def __enter__(self) -> 'tuple[Figure, Axes]':
        import matplotlib
        from matplotlib.figure import Figure

        self.style = ExitStack()
        self.style.enter_context(matplotlib.rc_context(_STYLE))  # type: ignore[arg-type]
        figure = Figure(figsize=self.size, layout='constrained')
        return figure, figure.add_subplot()

    def __exit__(self, *error: object) -> None:
        self.style.close()


def _to_svg(figure: 'Figure', title: str) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # Glyphs that matplotlib's own font lacks are drawn by the browser's.
        warnings.filterwarnings('ignore', message='Glyph .* missing from')
        figure.savefig(buffer, format='svg', transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    svg = re.sub(r'<style type="text/css">.*?</style>', '', svg, flags=re.DOTALL)
    mark = hashlib.sha1(title.encode()).hexdigest()[:8]  # ids must differ between plots
    svg = re.sub(r'(<\w+ id=")|(url\(#|href="#)', lambda found: f'{found[0]}p{mark}-', svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    label = html.escape(title, quote=True)
    return svg.replace('<svg ', f'<svg role="img" aria-label="{label}" ', 1)
