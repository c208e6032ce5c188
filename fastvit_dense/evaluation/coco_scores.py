"""COCO's numbers, and those of each class, curve and image, from what was matched."""

import numpy as np

from .coco_matches import AREAS, Evaluation, Matches


def summarize(found: Evaluation) -> dict[str, float]:
    """COCO's numbers, 0-1, -1 undefined: `mAP`, `mAP_50`, ..., `AR@1`, ..., `AR_l@100`."""
    numbers = {'mAP': mean_defined(found.precision[..., 0, -1])}
    for threshold in (0.5, 0.75):
        chosen = at_threshold(found, threshold)
        numbers[f'mAP_{threshold * 100:.0f}'] = mean_defined(found.precision[chosen][..., 0, -1])
    sizes = list(AREAS)[1:]
    for index, area in enumerate(sizes, start=1):
        numbers[f'mAP_{area}'] = mean_defined(found.precision[..., index, -1])
    for index, limit in enumerate(found.limits):
        numbers[f'AR@{limit}'] = mean_defined(found.recall[..., 0, index])
    for index, area in enumerate(sizes, start=1):
        numbers[f'AR_{area}@{found.limits[-1]}'] = mean_defined(found.recall[..., index, -1])
    return numbers


def per_category(found: Evaluation) -> list[dict[str, float | None]]:
    """AP, AP50, AP75 and AR of each scored category, ascending by id; None where undefined."""
    precision = found.precision[..., 0, -1]
    columns = {
        'AP': precision,
        'AP50': precision[at_threshold(found, 0.5)],
        'AP75': precision[at_threshold(found, 0.75)],
        'AR': found.recall[..., 0, -1],
    }
    rows = []
    for k in range(found.recall.shape[1]):
        row = {name: mean_defined(values[..., k]) for name, values in columns.items()}
        rows.append({name: None if value == -1 else value for name, value in row.items()})
    return rows


def class_table(rows: list[dict]) -> str:
    """Numbers per class, None as a dash, in columns for a log."""
    names = list(rows[0]) if rows else []
    lines = [names] + [
        [row[n] if isinstance(row[n], str | int) else _three(row[n]) for n in names] for row in rows
    ]
    return '\n'.join('  '.join(f'{cell!s:>12}' for cell in line) for line in lines)


def _three(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def precision_curves(found: Evaluation) -> dict[str, np.ndarray]:
    """Precision at the 101 recalls, (R, K), -1 undefined, at IoU `'50'` and `'75'`."""
    curves = {}
    for threshold in (0.5, 0.75):
        chosen = at_threshold(found, threshold)
        if chosen.size:
            curves[f'{threshold * 100:.0f}'] = found.precision[chosen[0], :, :, 0, -1]
    return curves


def at_threshold(found: Evaluation, threshold: float) -> np.ndarray:
    """Index of an IoU threshold, empty when it is not among those scored."""
    return np.flatnonzero(found.thresholds == threshold)


def mean_defined(values: np.ndarray) -> float:
    """Mean of the values above -1, -1 when there is none."""
    values = values[values > -1]
    return float(np.mean(values)) if values.size else -1.0


def image_scores(found: Evaluation, count: int) -> np.ndarray:
    """Score of each image, (`count`,), 0-1: its best F1 over the score cuts at IoU 0.5.

    Detections are matched to the objects of their class; what lies in a crowd region counts for
    nothing. Without objects: one minus the highest score.

    Args:
        found: Of which images go by their number.
        count: Number of images.
    """
    matches = found.matches
    at_half = int(np.flatnonzero(found.match_thresholds == 0.5)[0])
    objects = np.zeros(count, dtype=np.int64)
    np.add.at(objects, matches.images, matches.objects)
    highest = np.zeros(count)
    images = matches.images[matches.pairs]
    np.maximum.at(highest, images, matches.scores)
    best = _best_f1(matches, at_half, images, objects)
    return np.where(objects > 0, best, np.clip(1 - highest, 0, 1))


def _best_f1(
    matches: Matches, threshold: int, images: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    best = np.zeros(len(objects))
    counted = np.flatnonzero(~matches.ignored[threshold])
    if not len(counted):
        return best
    counted = counted[np.lexsort((-matches.scores[counted], images[counted]))]
    images, scores = images[counted], matches.scores[counted]
    changes = np.diff(images, prepend=-1) != 0
    firsts = np.flatnonzero(changes)
    found = np.arange(1, len(images) + 1)
    correct = np.cumsum(matches.matched[threshold, counted])
    before = np.concatenate([[0], correct])[firsts][np.cumsum(changes) - 1]
    f1 = 2 * (correct - before) / (found - firsts[np.cumsum(changes) - 1] + objects[images])
    cuts = np.append(changes[1:] | (np.diff(scores) != 0), True)  # a cut parts no equal scores
    best[images[firsts]] = np.maximum.reduceat(np.where(cuts, f1, 0), firsts)
    return best
