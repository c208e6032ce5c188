"""FreiHAND's numbers of made-up hands: ours and the straightforward loop."""

import time
from typing import Any

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree

from fastvit_dense.evaluation import evaluate_hand

from . import evaluation_former
from .comparing import compared


def make_hands(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Joints and vertices in float32, true and predicted with errors of about a centimetre."""
    random = np.random.default_rng(seed)
    template = random.normal(0, 1, (799, 3)) * [0.03, 0.045, 0.015]
    turns = np.linalg.qr(random.normal(size=(count, 3, 3)))[0]
    truth = template @ turns + random.normal(0, 0.1, (count, 1, 3)) + [0, 0, 0.7]
    found = truth + random.normal(0, 0.005, truth.shape) + random.normal(0, 0.01, (count, 1, 3))
    return tuple(
        points.astype(np.float32)
        for points in (truth[:, :21], truth[:, 21:], found[:, :21], found[:, 21:])
    )


def loop_over_hands(
    gt_xyz: np.ndarray, gt_verts: np.ndarray, pred_xyz: np.ndarray, pred_verts: np.ndarray
) -> dict[str, float]:
    """FreiHAND's twelve numbers the straightforward way, one hand after the other."""
    thresholds = np.linspace(0, 0.05, 100)
    errors = {name: [] for name in ('xyz', 'xyz_al', 'mesh', 'mesh_al')}
    f_scores = {f'f{kind}_score_{mm}': [] for kind in ('', '_al') for mm in (5, 15)}
    for hand in zip(gt_xyz, gt_verts, pred_xyz, pred_verts, strict=True):
        gx, gv, px, pv = (points.astype(np.float64) for points in hand)
        aligned = {'xyz': _align_one(gx, px), 'mesh': _align_one(gv, pv)}
        for name, truth, found in (('xyz', gx, px), ('mesh', gv, pv)):
            errors[name].append(np.linalg.norm(truth - found, axis=1))
            errors[f'{name}_al'].append(np.linalg.norm(truth - aligned[name], axis=1))
        for kind, found in (('', pv), ('_al', aligned['mesh'])):
            for mm in (5, 15):
                f_scores[f'f{kind}_score_{mm}'].append(_f_score_of_one(gv, found, mm / 1000))
    scores = {}
    for name, values in errors.items():
        values = np.array(values)
        pck = np.mean([[(point <= t).mean() for t in thresholds] for point in values.T], axis=0)
        scores[f'{name}_mean3d'] = 100 * values.mean()
        scores[f'{name}_auc3d'] = np.trapezoid(pck, thresholds) / 0.05
    return scores | {name: float(np.mean(values)) for name, values in f_scores.items()}


def _align_one(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    truth_mean, found_mean = truth.mean(0), found.mean(0)
    truth, found = truth - truth_mean, found - found_mean
    s1, s2 = np.linalg.norm(truth) + 1e-8, np.linalg.norm(found) + 1e-8
    rotation, scale = orthogonal_procrustes(truth / s1, found / s2)
    return (found / s2) @ rotation.T * scale * s1 + truth_mean


def _f_score_of_one(truth: np.ndarray, found: np.ndarray, threshold: float) -> float:
    recall = (cKDTree(found).query(truth)[0] < threshold).mean()
    precision = (cKDTree(truth).query(found)[0] < threshold).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def compare_hand(count: int, repeats: int = 5) -> dict[str, Any]:
    """Scoring of arrays in memory: the best of some, in turns with the former code's; a loop."""
    arrays = make_hands(count)
    seconds: dict[str, list[float]] = {'ours': [], 'former': []}
    for _ in range(repeats):
        start = time.perf_counter()
        found = evaluate_hand(*arrays)
        middle = time.perf_counter()
        before = evaluation_former.evaluate_hand(*arrays)
        seconds['ours'].append(middle - start)
        seconds['former'].append(time.perf_counter() - middle)
    start = time.perf_counter()
    expected = loop_over_hands(*arrays)
    other = {'seconds': time.perf_counter() - start}
    difference = max(
        abs(found[name] - value) for scores in (expected, before) for name, value in scores.items()
    )
    ours, former = ({'seconds': min(values)} for values in seconds.values())
    return compared(ours, other, difference, 'a loop over the samples', former)
