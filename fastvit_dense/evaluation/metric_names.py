"""Names of metrics, and their values and differences as text."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..datasets.values import is_number

KINDS = {'bbox': 'box', 'segm': 'mask', 'boundary': 'boundary'}
_SHORT = {
    'mIoU': 'mIoU',
    'f_al_score_5': 'F@5 mm',
    'f_al_score_15': 'F@15 mm',
}
_LABELS = {
    'mIoU': 'mean IoU',
    'mAcc': 'mean accuracy',
    'aAcc': 'pixel accuracy',
    'mDice': 'mean Dice',
    'boundary_mIoU': 'mean IoU near boundaries',
    'PQ': 'panoptic quality',
    'SQ': 'segmentation quality',
    'RQ': 'recognition quality',
    **{
        f'{name}_{ending}': f'{words} quality, {group}'
        for name, words in (('PQ', 'panoptic'), ('SQ', 'segmentation'), ('RQ', 'recognition'))
        for ending, group in (('th', 'things'), ('st', 'stuff'))
    },
    'PA-MPJPE': 'PA-MPJPE, joints',
    'PA-MPVPE': 'PA-MPVPE, vertices',
    'f_score_5': 'F-score at 5 mm',
    'f_score_15': 'F-score at 15 mm',
    'f_al_score_5': 'F-score at 5 mm, aligned',
    'f_al_score_15': 'F-score at 15 mm, aligned',
    'xyz_mean3d': 'joint error',
    'xyz_auc3d': 'joint AUC, 0-50 mm',
    'xyz_al_mean3d': 'joint error, aligned',
    'xyz_al_auc3d': 'joint AUC, 0-50 mm, aligned',
    'mesh_mean3d': 'vertex error',
    'mesh_auc3d': 'vertex AUC, 0-50 mm',
    'mesh_al_mean3d': 'vertex error, aligned',
    'mesh_al_auc3d': 'vertex AUC, 0-50 mm, aligned',
}
_FREQUENCIES = {  # LVIS's
    'APr': 'AP, rare classes',
    'APc': 'AP, common classes',
    'APf': 'AP, frequent classes',
}


@dataclass(frozen=True)
class MetricInfo:
    """The meaning of one metric for a reader.

    Args:
        label: Name in words.
        unit: `'%'`, `'mm'`, `'cm'`, ..., or empty for a number without one.
        digits: Digits after the point that are worth reading.
        higher_is_better: False for errors.
    """

    label: str
    unit: str
    digits: int
    higher_is_better: bool


# metrics that tasks bring along, by name
METRICS: dict[str, MetricInfo] = {}


def describe(name: str) -> MetricInfo:
    """Label, unit and direction of a metric by its public name; any name is accepted."""
    if name in METRICS:
        return METRICS[name]
    if name.startswith('PA-'):
        return MetricInfo(_LABELS.get(name, name), 'mm', 2, False)
    if name.endswith('_mean3d'):
        return MetricInfo(_LABELS.get(name, name), 'cm', 3, False)
    if name in ('mIoU', 'mAcc', 'aAcc', 'mDice', 'boundary_mIoU'):
        return MetricInfo(_LABELS[name], '%', 2, True)
    if name[:2] in ('PQ', 'SQ', 'RQ'):
        return MetricInfo(_LABELS.get(name, name), '%', 2, True)
    kind, _, rest = name.partition('_')
    if kind in KINDS and rest == 'ECE':
        return MetricInfo(f'{KINDS[kind]} calibration error', '', 4, False)
    if kind in KINDS:
        rest = _FREQUENCIES.get(rest, rest)
        label = f'{KINDS[kind]} {rest.replace("mAP_", "AP").replace("mAP", "AP")}'
        return MetricInfo(label, '', 4, True)
    return MetricInfo(_LABELS.get(name, name), '', 4, True)


def short_label(name: str) -> str:
    """The metric's usual abbreviation with its unit, for the head of a column."""
    info = describe(name)
    label = name if name.startswith('PA-') else _SHORT.get(name, info.label)
    return f'{label}, {info.unit}' if info.unit else label


def is_defined(name: str, value: object) -> bool:
    """Tell whether `value` of the metric `name` is a score.

    COCO writes -1 where there is nothing to score, FreiHAND -1 and -100 without a mesh; none of
    their metrics can be negative.
    """
    never_negative = name.partition('_')[0] in KINDS or name.endswith(('_mean3d', '_auc3d'))
    return is_number(value) and not (never_negative and value < 0)


def format_value(name: str, value: object, unit: bool = False, digits: int | None = None) -> str:
    """`value` of the metric `name` as text; a dash where it is undefined."""
    if not is_defined(name, value):
        return '–'
    info = describe(name)
    text = f'{value:.{info.digits if digits is None else digits}f}'
    return f'{text} {info.unit}'.rstrip() if unit else text


def format_interval(name: str, ends: Mapping[str, float], digits: int | None = None) -> str:
    """The interval `low`, `high` of the metric `name`, with the digits of its value."""
    digits = describe(name).digits if digits is None else digits
    low, high = (f'{ends[end]:.{digits}f}'.replace('-', '−') for end in ('low', 'high'))
    return f'[{low}, {high}]'


def format_published(name: str, value: object) -> str:
    """`value` of the metric `name` with the digits that papers print."""
    return format_value(name, value, digits=1 if describe(name).unit else 3)


def format_difference(name: str, value: float, digits: int | None = None) -> str:
    """A signed difference of the metric `name`, with a real minus sign."""
    info = describe(name)
    digits = info.digits if digits is None else digits
    return f'{value:+.{digits}f}'.replace('-', '−')
