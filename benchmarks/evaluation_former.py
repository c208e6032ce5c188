"""The evaluation as it was before it became faster, kept to be timed beside it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from fastvit_dense.evaluation.hand_scores import F_THRESHOLDS, THRESHOLDS, align

from .former_nearest import shares_within

PIXELS_AT_ONCE = 1 << 16
HANDS_AT_ONCE = 64


def count_pixels(
    predicted: Tensor, truth: Tensor, num_classes: int, ignore_index: int = 255
) -> Tensor:
    """Confusion matrix (C, C) by NumPy, in pieces that fit the cache."""
    found, true = predicted.reshape(-1).numpy(), truth.reshape(-1).numpy()
    cells = (num_classes + 1) * num_classes
    total = np.zeros(cells, dtype=np.int64)
    for start in range(0, len(true), PIXELS_AT_ONCE):
        labels, known = (x[start : start + PIXELS_AT_ONCE] for x in (found, true))
        row = np.where(known == ignore_index, num_classes, known.astype(np.int64, copy=False))
        for values, highest in ((labels, num_classes - 1), (row, num_classes)):
            if values.min() < 0 or values.max() > highest:
                raise ValueError('a label is no class')
        if ignore_index != num_classes and (known == num_classes).any():
            raise ValueError('a true label is no class')
        row *= num_classes
        row += labels
        total += np.bincount(row, minlength=cells)
    return torch.from_numpy(total.reshape(num_classes + 1, num_classes)[:num_classes])


def evaluate_hand(*arrays: np.ndarray) -> dict[str, float]:
    """FreiHAND's twelve numbers of true and predicted joints and vertices."""
    for points in arrays:
        if not np.isfinite(points).all() or not 0 < _hand_size(points) < 1:
            raise ValueError('not hands in metres')
    starts = range(0, len(arrays[0]), HANDS_AT_ONCE)
    with ThreadPoolExecutor(min(len(starts), torch.get_num_threads())) as pool:
        parts = list(
            pool.map(lambda s: _score(*(a[s : s + HANDS_AT_ONCE] for a in arrays)), starts)
        )
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    scores = {}
    for name in ('xyz', 'xyz_al', 'mesh', 'mesh_al'):
        scores[f'{name}_mean3d'] = 100 * float(joined[name].mean())
        scores[f'{name}_auc3d'] = float(trapezoid(_pck(joined[name]), THRESHOLDS) / THRESHOLDS[-1])
    for kind in ('f', 'f_al'):
        for index, millimetres in enumerate((5, 15)):
            scores[f'{kind}_score_{millimetres}'] = float(joined[kind][:, index].mean())
    return scores


def _hand_size(points: np.ndarray) -> float:
    centred = points - points.mean(1, keepdims=True)
    return float(np.median(np.sqrt((centred**2).sum(-1).mean(-1))))


def _score(*arrays: np.ndarray) -> dict[str, np.ndarray]:
    gt_xyz, gt_verts, xyz, verts = (
        np.ascontiguousarray(a.swapaxes(1, 2), dtype=np.float64) for a in arrays
    )
    pairs = {'xyz': (gt_xyz, xyz), 'mesh': (gt_verts, verts)}
    pairs |= {f'{name}_al': (pair[0], align(*pair)[0]) for name, pair in pairs.items()}
    found = {name: np.sqrt(np.square(a - b).sum(1)) for name, (a, b) in pairs.items()}
    for name, kind in (('f', 'mesh'), ('f_al', 'mesh_al')):
        recall, precision = shares_within(*pairs[kind], F_THRESHOLDS)
        total = precision + recall
        product = 2 * precision * recall
        found[name] = np.divide(product, total, out=np.zeros_like(total), where=total > 0)
    return found


def _pck(errors: np.ndarray) -> np.ndarray:
    first = np.searchsorted(THRESHOLDS, errors.ravel())
    counts = np.bincount(first, minlength=len(THRESHOLDS) + 1)[:-1]
    return np.cumsum(counts) / errors.size
