"""Hand meshes, scored exactly as FreiHAND's `eval.py` does.

After its text: errors without any alignment, and after a similarity fitted to each hand that may
reflect; joints and vertices are fitted separately. AUC under the share of points within 0-50 mm
(100 thresholds, `<=`); F-scores of nearest-vertex distances at 5 and 15 mm (strictly nearer).
"""

import logging
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.registry import METRICS
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid

from ..datasets.json_stream import as_numbers
from ..errors import DataError, PredictionError
from ..hand.units import hand_size, thousandfold
from .base import TaskMetric, as_dict
from .hand_hints import hints_at
from .nearest import shares_within
from .predicted_folder import find_predicted, read_predicted
from .record import EvaluationResult
from .statistics import Means, image_names

THRESHOLDS = np.linspace(0.0, 0.05, 100)
F_THRESHOLDS = (0.005, 0.015)
CHUNK_SAMPLES = 64  # some megabytes of float64 arrays: what the cores' caches hold
KINDS = ('xyz', 'xyz_al', 'mesh', 'mesh_al')
POINTS = ('gt_hand.joints', 'gt_hand.vertices', 'pred_hand.joints', 'pred_hand.vertices')
FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')
JOINTS = ('wrist', *(f'{finger} {k}' for finger in FINGERS for k in (1, 2, 3, 'tip')))


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
    found['f_raw'] = f_score(gt_verts, pred_verts)
    found['f_al'] = f_score(gt_verts, aligned_verts)
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


def _statistics(samples: list[dict], hands: HandScores) -> Means:
    """The numbers that are means over the hands, AUC aside, of each hand."""
    means = {kind: errors.mean(axis=1) for kind, errors in hands.errors.items()}
    columns = {f'{kind}_mean3d': values * 100 for kind, values in means.items()}
    for name, kind in (('PA-MPJPE', 'xyz_al'), ('PA-MPVPE', 'mesh_al')):
        if kind in means:
            columns[name] = means[kind] * 1000
    for name, kind in (('f_score', 'raw'), ('f_al_score', 'al')):
        columns |= {f'{name}_{mm}': hands.f_scores[kind][:, i] for i, mm in enumerate((5, 15))}
    names = image_names([sample['id'] for sample in samples])
    return Means(names, np.array(list(columns)), np.stack(list(columns.values()), axis=1))


def _move_by_joints(
    vertices: np.ndarray, gt_xyz: np.ndarray, pred_xyz: np.ndarray, fit: Fit
) -> np.ndarray:
    """Move meshes by the joints' fit; as in FreiHAND's code, not divided by the joints' norm."""
    mean = vertices.mean(2, keepdims=True)
    shift = gt_xyz.mean(2, keepdims=True) - pred_xyz.mean(2, keepdims=True)
    return fit.rotation @ (vertices - mean) * fit.scale * fit.norm + shift + mean


def f_score(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """F-scores (N, 2) of vertices (N, 3, V) and (N, 3, W) at 5 and 15 mm; 0 if none is near."""
    recall, precision = shares_within(truth, predicted, F_THRESHOLDS)
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)


def share_within(errors: np.ndarray) -> np.ndarray:
    """Share of the errors, metres, that are at most each of `THRESHOLDS`."""
    first = np.searchsorted(THRESHOLDS, errors.ravel())
    counts = np.bincount(first, minlength=len(THRESHOLDS) + 1)[:-1]
    return np.cumsum(counts) / errors.size


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


@METRICS.register_module()
class HandMetric(TaskMetric):
    """FreiHAND's twelve numbers, `PA-MPJPE` and `PA-MPVPE`; see `evaluate_hand`.

    Args:
        output_dir: Write `pred.json` there, for FreiHAND's own code.
        format_only: Only write `pred.json`; needs `output_dir`, no truth.
        collect_device: See `TaskMetric`.
        prefix: See `TaskMetric`.
        collect_dir: See `TaskMetric`.
    """

    def __init__(
        self,
        output_dir: str | None = None,
        format_only: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if format_only and output_dir is None:
            raise DataError('format_only needs output_dir: where to write pred.json')
        self.format_only = format_only
        if output_dir is not None:
            self.save_predictions(output_dir)

    def compact(self, sample: dict) -> dict:
        """Joints and vertices of one hand in float32.

        Args:
            sample: `img_id`; `pred_hand` and `gt_hand`, each with `joints` (21, 3) and
                `vertices` (V, 3), metres, camera frame. The truth is in the frame of the
                network's input, to which `camera_roll` (3, 3), if there is one, leads; the
                prediction is in that of the original image, where both are scored.
        """
        where = f'sample {sample.get("img_id")}'
        found = {'id': sample.get('img_id')}
        for element in ('pred_hand',) if self.format_only else ('gt_hand', 'pred_hand'):
            if element not in sample:
                raise PredictionError(f'{where}: no "{element}"')
            hand = as_dict(sample[element])
            for name in ('joints', 'vertices'):
                points = torch.as_tensor(hand[name]).detach().cpu().float().numpy()
                if points.ndim != 2 or points.shape[1] != 3:
                    raise PredictionError(f'{where}: {element}.{name} has shape {points.shape}')
                if element == 'gt_hand' and sample.get('camera_roll') is not None:
                    points = (points @ sample['camera_roll']).astype(np.float32)
                if not np.isfinite(points).all():
                    raise PredictionError(f'{where}: {element}.{name} is not finite')
                found[f'{element}.{name}'] = points
        return found

    def score(self, samples: list[dict]) -> EvaluationResult:
        """Score the hands of all samples."""
        arrays = [_stack([sample[name] for sample in samples], name, samples) for name in POINTS]
        hands = score_hands(*arrays)
        hints = hints_at(*arrays)
        for hint in hints:
            print_log(
                f'{hint}; the scores are those of the numbers as they are',
                'current',
                logging.WARNING,
            )
        ranked_by = 'mesh_al' if 'mesh_al' in hands.errors else 'xyz_al'
        joint_errors = {
            'PA-MPJPE': hands.errors['xyz_al'].mean(axis=0) * 1000,
            'MPJPE': hands.errors['xyz'].mean(axis=0) * 1000,
        }
        means = {name: values.mean(axis=1) * 1000 for name, values in hands.errors.items()}
        return self.new_result(
            'hand',
            len(samples),
            metrics=hands.scores,
            per_class=[
                {'name': joint} | {name: float(v[k]) for name, v in joint_errors.items()}
                for k, joint in enumerate(JOINTS)
            ],
            curves={
                'pck': {'threshold_mm': (THRESHOLDS * 1000).tolist()}
                | {name: curve.tolist() for name, curve in hands.pck.items()}
            },
            statistics=_statistics(samples, hands),
            per_sample=[
                {'id': sample['id'], 'score': -float(means[ranked_by][i])}
                | {f'{name}_mm': float(values[i]) for name, values in means.items()}
                for i, sample in enumerate(samples)
            ],
            protocol={
                'joints': '21, FreiHAND order',
                'vertices': arrays[3].shape[1],
                'unaligned': 'camera space, no root subtracted',
                'alignment': 'similarity per hand, reflection allowed, joints and mesh separately',
                'aligned_by_reflection': int(
                    np.any([d < 0 for d in hands.determinants.values()], axis=0).sum()
                ),
                'image_score': 'minus the mean aligned error, mm',
                **({'hint': '; '.join(hints)} if hints else {}),
            },
        )

    def write_predictions(self, samples: list[dict]) -> None:
        """Write `pred.json` in the order of the samples' ids."""
        from ..datasets.freihand_files import write_predictions

        assert self.predictions_dir is not None
        write_predictions(
            self.predictions_dir / 'pred.json',
            (sample['pred_hand.joints'] for sample in samples),
            (sample['pred_hand.vertices'] for sample in samples),
        )

    def read_predictions(self, path: Path, dataset: dict | None = None) -> list[dict]:
        """Compact samples from `pred.json` or a `.zip` of it, in the order of the dataset.

        Args:
            path: The file, the folder that holds `pred.json`, or the folder that `predict` wrote.
            dataset: Config of a FreiHAND dataset; its images are not needed.
        """
        from ..datasets.freihand_files import read_predictions
        from .label_maps import build_lazily

        if dataset is None:
            raise DataError('scoring saved hands needs the config of the dataset')
        built = build_lazily(dataset)
        self.dataset_meta = built.metainfo
        truth = built.annotations
        if 'xyz' not in truth or 'verts' not in truth:
            raise DataError(f'{built.ann_file}: no xyz and verts to score against')
        count = len(truth['xyz'])
        ids = sorted(built.image_numbers())
        if path.is_dir() and not (path / 'pred.json').is_file():
            joints, vertices = _read_folder(path, ids)
        else:
            file = path / 'pred.json' if path.is_dir() else path
            joints, vertices = read_predictions(file, len(ids), truth['xyz'], np.float32)
        return [
            {
                'id': number,
                'gt_hand.joints': np.array(truth['xyz'][number % count]),
                'gt_hand.vertices': np.array(truth['verts'][number % count]),
                'pred_hand.joints': joints[i],
                'pred_hand.vertices': vertices[i],
            }
            for i, number in enumerate(ids)
        ]


def _read_folder(folder: Path, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 21, 3) and vertices (N, V, 3) of the pictures of these numbers."""
    names = [f'{number:08d}.jpg' for number in numbers]
    files = find_predicted(folder, names, '.json')
    if len(files) < len(names):
        first = next(name for name in names if name not in files)
        raise PredictionError(
            f'{folder}: expected pred.json, or a JSON file for each of {len(names)} pictures as '
            f'predict writes them, found {len(files)}; the first that is missing is that of {first}'
        )
    joints, vertices = [], []
    for name in names:
        hand = read_predicted(files[name], 'hand')
        joints.append(as_numbers(hand.get('joints'), (21, 3), f'{files[name]}: joints'))
        vertices.append(as_numbers(hand.get('vertices'), (None, 3), f'{files[name]}: vertices'))
    if len({len(mesh) for mesh in vertices}) > 1:
        raise PredictionError(f'{folder}: expected meshes of one size, found several')
    return np.stack(joints).astype(np.float32), np.stack(vertices).astype(np.float32)


def _stack(points: list[np.ndarray], name: str, samples: list[dict]) -> np.ndarray:
    for i, array in enumerate(points):
        if array.shape != points[0].shape:
            raise PredictionError(
                f'sample {samples[i]["id"]}: {name} has shape {array.shape}, the first '
                f'sample {points[0].shape}'
            )
    return np.stack(points) if points else np.zeros((0, 1, 3), np.float32)
