"""Scores of hand meshes, exactly as FreiHAND's `eval.py` does.

After its text: errors without any alignment, and after a similarity fitted to each hand that may
reflect; joints and vertices are fitted separately. AUC under the share of points within 0-50 mm
(100 thresholds, `<=`); F-scores of nearest-vertex distances at 5 and 15 mm (strictly nearer).
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid

from ..errors import PredictionError
from ..hand.units import hand_size, thousandfold
from .nearest import shares_within

THRESHOLDS = np.linspace(0.0, 0.05, 100)
F_THRESHOLDS = (0.005, 0.015)
CHUNK_SAMPLES = 32  # a megabyte of float64 arrays: what the cores' caches hold
KINDS = ('xyz', 'xyz_al', 'mesh', 'mesh_al')


@dataclass
class HandScores:
    """Everything that scoring N hands gives.

    Args:
        scores: FreiHAND's twelve numbers in the order of its `scores.txt`, errors in cm, then
            `PA-MPJPE` and `PA-MPVPE` in mm.
        pck: Share of points within each of `THRESHOLDS`; of `xyz`, `xyz_al` and, where the
            meshes have MANO's vertices, `mesh` and `mesh_al`.
        errors: Distances of each point in metres under the same names, (N, 21) or (N, V).
        f_scores: F-scores of each hand at 5 and 15 mm, (N, 2), `raw` and `al`.
        determinants: Of the fitted rotations, `xyz` and `mesh`, (N,): 1, or -1 for a
            reflection; 0 where it is not determined.
    """

    scores: dict[str, float]
    pck: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    f_scores: dict[str, np.ndarray]
    determinants: dict[str, np.ndarray]


def evaluate_hand(
    gt_xyz: ArrayLike, gt_verts: ArrayLike, pred_xyz: ArrayLike, pred_verts: ArrayLike
) -> dict[str, float]:
    """FreiHAND's scores.

    Args:
        gt_xyz: True joints (N, 21, 3), metres, camera frame, FreiHAND's order.
        gt_verts: True vertices (N, 778, 3).
        pred_xyz: Predicted joints (N, 21, 3).
        pred_verts: Predicted vertices (N, V, 3). With another number of vertices the mesh errors
            are -100 cm, their AUC -1, and the aligned F-scores take the joints' fit.

    Returns:
        The keys of `scores.txt`: `*_mean3d` in cm, `*_auc3d` and `f_*` in 0-1; and
        `PA-MPJPE`, `PA-MPVPE` in mm (NaN without mesh errors).

    Raises:
        PredictionError: Wrong shapes, values that are not finite, or millimetres.
    """
    return score_hands(gt_xyz, gt_verts, pred_xyz, pred_verts).scores


def score_hands(
    gt_xyz: ArrayLike, gt_verts: ArrayLike, pred_xyz: ArrayLike, pred_verts: ArrayLike
) -> HandScores:
    """FreiHAND's scores and what they are made of; see `evaluate_hand`.

    Warns of hands that are aligned by a reflection.
    """
    arrays = [np.asarray(a) for a in (gt_xyz, gt_verts, pred_xyz, pred_verts)]
    _check_arrays(*arrays)
    starts = range(0, len(arrays[0]), CHUNK_SAMPLES)
    with ThreadPoolExecutor(min(len(starts), torch.get_num_threads())) as pool:
        parts = list(
            pool.map(lambda s: _score_chunk(*(a[s : s + CHUNK_SAMPLES] for a in arrays)), starts)
        )
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    errors = {name: joined[name] for name in KINDS if name in joined}
    determinants = {n: joined[f'det_{n}'] for n in ('xyz', 'mesh') if f'det_{n}' in joined}
    mirrored = sorted({i for d in determinants.values() for i in np.flatnonzero(d < 0).tolist()})
    if mirrored:
        warnings.warn(
            f'{len(mirrored)} of {len(arrays[0])} hands are aligned by a reflection, as FreiHAND '
            f'allows; a mirrored hand scores well (first: sample {mirrored[0]})',
            stacklevel=3,
        )
    f_scores = {name: joined[f'f_{name}'] for name in ('raw', 'al')}
    pck = {name: share_within(values) for name, values in errors.items()}
    return HandScores(_summary(errors, pck, f_scores), pck, errors, f_scores, determinants)


def _summary(errors: dict, pck: dict, f_scores: dict) -> dict[str, float]:
    scores = {}
    for name in KINDS:
        has_errors = name in errors
        scores[f'{name}_mean3d'] = float(errors[name].mean()) * 100 if has_errors else -100.0
        area = trapezoid(pck[name], THRESHOLDS) / THRESHOLDS[-1] if has_errors else -1.0
        scores[f'{name}_auc3d'] = float(area)
    for index, millimetres in enumerate((5, 15)):
        scores[f'f_score_{millimetres}'] = float(f_scores['raw'][:, index].mean())
        scores[f'f_al_score_{millimetres}'] = float(f_scores['al'][:, index].mean())
    for name, kind in (('PA-MPJPE', 'xyz_al'), ('PA-MPVPE', 'mesh_al')):
        scores[name] = float(errors[kind].mean()) * 1000 if kind in errors else float('nan')
    return scores


def _score_chunk(
    gt_xyz: np.ndarray, gt_verts: np.ndarray, pred_xyz: np.ndarray, pred_verts: np.ndarray
) -> dict[str, np.ndarray]:
    """Errors, F-scores and determinants of some hands, computed in float64."""
    # coordinates first, (N, 3, V): sums and products then run along the points
    gt_xyz, gt_verts, pred_xyz, pred_verts = (
        np.ascontiguousarray(a.swapaxes(1, 2), dtype=np.float64)
        for a in (gt_xyz, gt_verts, pred_xyz, pred_verts)
    )
    aligned_xyz, fit = align(gt_xyz, pred_xyz)
    found = {
        'xyz': _distances(gt_xyz, pred_xyz),
        'xyz_al': _distances(gt_xyz, aligned_xyz),
        'det_xyz': fit.determinant,
    }
    if gt_verts.shape == pred_verts.shape:
        aligned_verts, mesh_fit = align(gt_verts, pred_verts)
        found |= {
            'mesh': _distances(gt_verts, pred_verts),
            'mesh_al': _distances(gt_verts, aligned_verts),
            'det_mesh': mesh_fit.determinant,
        }
    else:
        aligned_verts = _move_by_joints(pred_verts, gt_xyz, pred_xyz, fit)
    found['f_raw'], found['f_al'] = f_scores(gt_verts, (pred_verts, aligned_verts))
    return found


@dataclass
class Fit:
    """Similarities fitted to N point sets.

    Args:
        rotation: (N, 3, 3), orthogonal, reflections included.
        scale: (N, 1, 1) between the sets after each was divided by its norm.
        norm: (N, 1, 1) Frobenius norm of the centred true points.
        determinant: (N,) of the rotation; 0 where it is not determined.
    """

    rotation: np.ndarray
    scale: np.ndarray
    norm: np.ndarray
    determinant: np.ndarray


def align(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, Fit]:
    """Fit each predicted point set to the true one as FreiHAND's `eval.py` does.

    Orthogonal Procrustes on the sets without their means, each divided by its norm + 1e-8.

    Args:
        truth: (N, 3, V).
        predicted: (N, 3, V).

    Returns:
        The moved prediction (N, 3, V), and the fit.
    """
    mean, predicted_mean = truth.mean(2, keepdims=True), predicted.mean(2, keepdims=True)
    truth, predicted = truth - mean, predicted - predicted_mean
    norm = np.sqrt(np.square(truth).sum((1, 2), keepdims=True)) + 1e-8
    predicted /= np.sqrt(np.square(predicted).sum((1, 2), keepdims=True)) + 1e-8
    truth /= norm
    u, singular, vt = np.linalg.svd(truth @ predicted.swapaxes(1, 2))
    rotation = u @ vt
    scale = singular.sum(1)[:, None, None]
    # flat point sets fit a rotation and a reflection alike
    determined = singular[:, 2] > 1e-9 * singular[:, 0]
    determinant = np.where(determined, np.sign(np.linalg.det(rotation)), 0)
    moved = rotation @ predicted
    moved *= scale * norm
    moved += mean
    return moved, Fit(rotation, scale, norm, determinant)


def _move_by_joints(
    vertices: np.ndarray, gt_xyz: np.ndarray, pred_xyz: np.ndarray, fit: Fit
) -> np.ndarray:
    """Move meshes by the joints' fit; as in FreiHAND's code, not divided by the joints' norm."""
    mean = vertices.mean(2, keepdims=True)
    shift = gt_xyz.mean(2, keepdims=True) - pred_xyz.mean(2, keepdims=True)
    return fit.rotation @ (vertices - mean) * fit.scale * fit.norm + shift + mean


def f_scores(truth: np.ndarray, predictions: Sequence[np.ndarray]) -> list[np.ndarray]:
    """F-scores (N, 2) at 5 and 15 mm of each prediction; 0 if no vertex is near.

    Args:
        truth: (N, 3, V) vertices.
        predictions: Vertices (N, 3, W) each.
    """
    found = []
    for recall, precision in shares_within(truth, predictions, F_THRESHOLDS):
        total = precision + recall
        product = 2 * precision * recall
        found.append(np.divide(product, total, out=np.zeros_like(total), where=total > 0))
    return found


def share_within(errors: np.ndarray) -> np.ndarray:
    """Share of the errors (N, V), metres, that are at most each of `THRESHOLDS`."""
    counts = np.zeros(len(THRESHOLDS) + 1, dtype=np.int64)
    for start in range(0, len(errors), CHUNK_SAMPLES):
        part = errors[start : start + CHUNK_SAMPLES].ravel()
        # the thresholds are equally far apart: the first that is not below is this or a neighbour
        first = np.ceil(part / THRESHOLDS[1]).clip(0, len(THRESHOLDS)).astype(np.int64)
        first += part > np.append(THRESHOLDS, np.inf)[first]
        first -= part <= np.append(-np.inf, THRESHOLDS)[first]
        counts += np.bincount(first, minlength=len(counts))
    return np.cumsum(counts[:-1]) / errors.size


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances (N, V) of points (N, 3, V)."""
    return np.sqrt(np.square(first - second).sum(1))


def _check_arrays(
    gt_xyz: np.ndarray, gt_verts: np.ndarray, pred_xyz: np.ndarray, pred_verts: np.ndarray
) -> None:
    named = {
        'gt_xyz': (gt_xyz, 21),
        'gt_verts': (gt_verts, None),
        'pred_xyz': (pred_xyz, 21),
        'pred_verts': (pred_verts, None),
    }
    count = len(gt_xyz)
    if not count:
        raise PredictionError('there are no hands to score')
    for name, (array, points) in named.items():
        if array.dtype == object or array.ndim != 3 or array.shape[2] != 3 or not array.shape[1]:
            raise PredictionError(
                f'{name}: expected shape (N, {points or "V"}, 3), found {array.shape}'
            )
        if len(array) != count or (points and array.shape[1] != points):
            raise PredictionError(
                f'{name}: expected shape ({count}, {points or "V"}, 3), found {array.shape}'
            )
        finite = np.isfinite(array).all(axis=(1, 2))
        if not finite.all():
            raise PredictionError(f'{name}: sample {int(np.argmin(finite))} is not finite')
    for true, predicted in (('gt_xyz', 'pred_xyz'), ('gt_verts', 'pred_verts')):
        ratio = thousandfold(*(hand_size(named[name][0]) for name in (predicted, true)))
        if ratio is None:
            continue
        if ratio > 1:
            raise PredictionError(
                f'{predicted}: hands {ratio:.0f} times the true size: millimetres, not metres?'
            )
        raise PredictionError(
            f'{true}: hands {1 / ratio:.0f} times the predicted size: millimetres, not metres?'
        )
