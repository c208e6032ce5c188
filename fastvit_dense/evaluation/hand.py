"""The metric of hand meshes: what is kept of a sample, and the record of all."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.registry import METRICS

from ..datasets.json_stream import as_numbers
from ..errors import DataError, PredictionError
from .base import TaskMetric, as_dict
from .diagnosis import Diagnosis, Doubt
from .hand_errors import breakdown, vertex_breakdown
from .hand_hints import hints_at
from .hand_scores import THRESHOLDS, HandScores, score_hands
from .predicted_folder import is_of_predict, read_results
from .record import EvaluationResult
from .statistics import Means, image_names

POINTS = ('gt_hand.joints', 'gt_hand.vertices', 'pred_hand.joints', 'pred_hand.vertices')
FAR = 5.0
FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')
JOINTS = ('wrist', *(f'{finger} {k}' for finger in FINGERS for k in (1, 2, 3, 'tip')))


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
            diagnosis=self._diagnose(samples, arrays, 1000 * hands.errors[ranked_by].mean(axis=1)),
            per_sample=[
                {'id': sample['id'], 'score': -float(means[ranked_by][i])}
                | {f'{name}_mm': float(values[i]) for name, values in means.items()}
                for i, sample in enumerate(samples)
            ],
            protocol={
                'rule': 'PA and "aligned": each hand rotated, scaled and shifted onto the truth, '
                'reflections allowed, joints and mesh apart; the rest in camera space, no root '
                'subtracted',
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

    def _diagnose(
        self, samples: list[dict], arrays: list[np.ndarray], errors: np.ndarray
    ) -> dict[str, Any]:
        if not self.diagnose:
            return {}
        true_joints, true_vertices, joints, vertices = arrays
        found = [breakdown(true_joints, joints)]
        if true_vertices.shape == vertices.shape:
            found.append(vertex_breakdown(true_joints, joints, true_vertices, vertices))
        return Diagnosis(found, doubts=outliers(samples, errors)).to_dict()

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
            path: See `read_saved_hands`.
            dataset: Config of a FreiHAND dataset; its images are not needed.
        """
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
        joints, vertices = read_saved_hands(path, ids, truth['xyz'])
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


def outliers(samples: Sequence[dict], errors: np.ndarray) -> list[Doubt]:
    """Hands whose truth may be wrong: their errors (N,), mm, lie far beyond those of the others.

    Far is `FAR` times the median distance of the errors from their median, in units of a normal
    distribution's deviation.
    """
    median = float(np.median(errors))
    spread = 1.4826 * float(np.median(np.abs(errors - median)))
    return [
        Doubt(
            samples[i]['id'],
            str(samples[i]['id']),
            f'aligned error {errors[i]:.1f} mm; half of all hands have at most {median:.1f} mm',
            float((errors[i] - median) / spread),
        )
        for i in np.flatnonzero((errors - median > FAR * spread) & (spread > 0)).tolist()
    ]


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


def read_saved_hands(
    path: Path, numbers: Sequence[int], reference: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read joints (N, 21, 3) and vertices (N, V, 3), metres, float32, of pictures, in their order.

    Args:
        path: `pred.json`, a `.zip` of it, the folder that holds it, or what `predict` wrote: its
            folder or `predictions.jsonl`.
        numbers: Of the pictures.
        reference: True joints, beside which another unit is told.

    Raises:
        PredictionError, DataError: It is none of these, or lacks a picture.
    """
    from ..datasets.freihand_files import read_predictions

    if is_of_predict(path, 'pred.json'):
        return _read_predicted(path, numbers)
    file = path / 'pred.json' if path.is_dir() else path
    return read_predictions(file, len(numbers), reference, np.float32)


def _read_predicted(path: Path, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 21, 3) and vertices (N, V, 3) of the pictures of these numbers."""
    names = [f'{number:08d}.jpg' for number in numbers]
    joints, vertices = {}, {}
    for name, where, hand in read_results(path, names, 'hand'):
        joints[name] = as_numbers(hand.get('joints'), (21, 3), f'{where}: joints')
        vertices[name] = as_numbers(hand.get('vertices'), (None, 3), f'{where}: vertices')
    if len(joints) < len(names):
        first = next(name for name in names if name not in joints)
        raise PredictionError(
            f'{path}: expected pred.json, or a result for each of {len(names)} pictures as '
            f'predict writes them, found {len(joints)}; the first one missing is that of {first}'
        )
    if len({len(mesh) for mesh in vertices.values()}) > 1:
        raise PredictionError(f'{path}: expected meshes of one size, found several')
    found = [np.stack([part[name] for name in names]) for part in (joints, vertices)]
    return found[0].astype(np.float32), found[1].astype(np.float32)


def _stack(points: list[np.ndarray], name: str, samples: list[dict]) -> np.ndarray:
    for i, array in enumerate(points):
        if array.shape != points[0].shape:
            raise PredictionError(
                f'sample {samples[i]["id"]}: {name} has shape {array.shape}, the first '
                f'sample {points[0].shape}'
            )
    return np.stack(points) if points else np.zeros((0, 1, 3), np.float32)
