"""Curves of an evaluation as plots: precision over recall, PCK."""

from collections.abc import Mapping
from typing import Any

from ...datasets.values import is_number
from ..metric_names import KINDS
from .plots import line_plot
from .training_log import LOSS, RATE, VALIDATION

OF_TRAINING = (LOSS, RATE, VALIDATION)

# What a family of curves is drawn as: title, axis titles.
_FAMILIES = {
    'precision_recall': ('Precision over recall', 'recall', 'precision, mean over classes'),
    'pck': ('PCK: share of points within a distance', 'distance, mm', 'share of points'),
    LOSS: ('Training loss', 'step', 'loss'),
    RATE: ('Learning rate', 'step', 'learning rate'),
}
# What lines are called where their own names would not do.
_LINES = {
    'xyz': 'joints',
    'xyz_al': 'joints, aligned',
    'mesh': 'vertices',
    'mesh_al': 'vertices, aligned',
}


def curve_plots(curves: Mapping[str, Any], of: str = '') -> list[tuple[str, str]]:
    """Title and SVG of every plot that the curves make.

    Args:
        curves: Families by name. A family is a dict of lists of equal length: the first holds the
            positions on the axis, each other one is a line. Lines named `bbox_...` and
            `segm_...` stand in plots of their own. Other entries are left out, as is a family
            whose axis has gaps.
        of: Told by a screen reader, where a page has the same curves of several.

    Returns:
        Pairs of a title and an `<svg>` element.
    """
    plots = []
    for family, entries in curves.items():
        if not isinstance(entries, Mapping):
            continue
        lists = {name: value for name, value in entries.items() if _is_line(value)}
        axis = next(iter(lists), None)
        if axis is None or None in lists[axis]:
            continue
        x = lists[axis]
        title, x_label, y_label = _FAMILIES.get(
            family, (family.replace('_', ' ').capitalize(), axis.replace('_', ' '), '')
        )
        groups: dict[str, dict[str, list[Any]]] = {}
        for name, values in lists.items():
            if name != axis and len(values) == len(x):
                kind, line = _split(name)
                groups.setdefault(kind, {})[line] = [_defined(value) for value in values]
        for kind, lines in groups.items():
            heading = f'{title}: {kind}' if kind else title
            label = f'{heading}, {of}' if of else heading
            top = _top(family, lines)
            plots.append((heading, line_plot(label, x, lines, x_label, y_label, top)))
    return plots


def _top(family: str, lines: Mapping[str, list[Any]]) -> float:
    """Upper end of an axis: 1 for shares, else a little more than the largest value."""
    largest = max((v for values in lines.values() for v in values if v is not None), default=1.0)
    return 1.01 if largest <= 1 and family not in OF_TRAINING else 1.05 * largest or 1.0


def _is_line(value: Any) -> bool:
    """Tell whether an entry of a family is a list of numbers, None among them allowed."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(item is None or is_number(item) for item in value)
    )


def _defined(value: float | None) -> float | None:
    """COCO writes -1 where a value is undefined."""
    return None if value is None or value < 0 else value


def _split(name: str) -> tuple[str, str]:
    """Kind and name of a line: `segm_50` is the line `IoU 0.50` among the masks'."""
    kind, _, rest = name.partition('_')
    if kind in KINDS and rest:
        return KINDS[kind], f'IoU {int(rest) / 100:.2f}' if rest.isdigit() else rest
    return '', _LINES.get(name, name.replace('_', ' '))
