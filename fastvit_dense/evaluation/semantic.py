"""Semantic segmentation: one exact confusion matrix, and everything from it."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hotcoco.metrics import pixel_confusion
from mmengine.logging import print_log
from mmengine.registry import METRICS
from torch import Tensor

from ..errors import DataError, PredictionError
from .base import TaskMetric, as_dict
from .label_map_diagnosis import boundary_ious, diagnose_label_maps
from .label_map_errors import count_edges, examine
from .label_maps import build_lazily, truth_of_dataset
from .record import EvaluationResult
from .saved_label_maps import (
    place_label_maps,
    read_saved_labels,
    refuse_missing,
    saved_label_maps,
    stage_label_map,
    unknown_label_maps,
)
from .statistics import Confusions, image_names

BOUNDARY, BOUNDARY_CLASS = 'boundary_mIoU', 'boundary_IoU'
IOU_METRICS = ('mIoU', 'mDice', 'mFscore', BOUNDARY)
AT_ONCE = 1 << 22  # pixels that a GPU counts: memory sets the limit


@METRICS.register_module()
class SemanticMetric(TaskMetric):
    """Mean IoU and its relatives with the arguments of mmseg's `IoUMetric`.

    Pixels are counted exactly (int64). Names: `mIoU`, `mAcc`, `aAcc`, `mDice`, and with
    `'mFscore'` asked for `mFscore`, `mPrecision`, `mRecall`, with `'boundary_mIoU'` the mean
    Boundary IoU; in percent. A class whose
    score is 0/0, as one absent from prediction and truth, is left out of that mean.

    Args:
        ignore_index: Value of pixels of the truth that do not count.
        iou_metrics: `'mIoU'`, `'mDice'`, `'mFscore'`, `'boundary_mIoU'` or a list of them.
        nan_to_num: Takes the place of undefined class scores (of 0-1, before the means).
        beta: Weight of recall in the F-score.
        collect_device: See `TaskMetric`.
        output_dir: Write each prediction there as a PNG named like the image, images in several
            folders with their path below the folder that holds all; with
            `reduce_zero_label` class indices from 1, as ADE20K's server takes them.
        format_only: Only write the PNGs; needs `output_dir`, no truth.
        prefix: See `TaskMetric`.
        collect_dir: See `TaskMetric`.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        iou_metrics: str | Sequence[str] = ('mIoU',),
        nan_to_num: int | None = None,
        beta: int = 1,
        collect_device: str = 'cpu',
        output_dir: str | None = None,
        format_only: bool = False,
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.iou_metrics = [iou_metrics] if isinstance(iou_metrics, str) else list(iou_metrics)
        if set(self.iou_metrics) - set(IOU_METRICS):
            raise DataError(f'iou_metrics: expected some of {IOU_METRICS}, found {iou_metrics!r}')
        if format_only and output_dir is None:
            raise DataError('format_only needs output_dir: where to write the label maps')
        self.ignore_index = ignore_index
        self.nan_to_num = nan_to_num
        self.beta = beta
        self.format_only = format_only
        self._written: dict[str, str] = {}
        if output_dir is not None:
            self.save_predictions(output_dir)

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, of the dataset's meta information."""
        classes: Sequence[str] | None = (self.dataset_meta or {}).get('classes')
        if classes is None:
            raise DataError('SemanticMetric: the dataset must name its "classes"')
        return classes

    def compact(self, sample: dict) -> dict:
        """The non-zero cells of one image's confusion matrix.

        Args:
            sample: `pred_sem_seg` and `gt_sem_seg`, each with `data` (1, H, W) of class
                indices; `img_path`, `reduce_zero_label`.
        """
        path = sample.get('img_path')
        predicted = _label_map(sample['pred_sem_seg'])
        if self.predictions_dir is not None:
            self._write(path, predicted, sample.get('reduce_zero_label', False))
        if self.format_only:
            return {'id': path}
        if 'gt_sem_seg' not in sample:
            raise PredictionError(f'{path or "a sample"}: no "gt_sem_seg" to score against')
        truth = _label_map(sample['gt_sem_seg']).to(predicted.device)
        return self._count(path, predicted, truth, path or 'a sample')

    def _count(self, key: str | None, predicted: Tensor, truth: Tensor, where: str) -> dict:
        if predicted.shape != truth.shape:
            raise PredictionError(
                f'{where}: the prediction is {tuple(predicted.shape)} (height, width), '
                f'the truth {tuple(truth.shape)}'
            )
        num_classes = len(self.classes)
        try:
            counts = count_pixels(predicted, truth, num_classes, self.ignore_index)
        except ValueError as error:
            raise PredictionError(f'{where}: {error}') from None
        counts = counts.flatten()
        cells = counts.nonzero()[:, 0]
        found: dict[str, Any] = {
            'id': key,
            'cells': cells.cpu().numpy(),
            'counts': counts[cells].cpu().numpy(),
        }
        if BOUNDARY in self.iou_metrics or self.diagnose:
            labels = predicted.cpu().numpy(), truth.cpu().numpy()
            if BOUNDARY in self.iou_metrics:
                found['edges'] = count_edges(*labels, self.ignore_index)
            if self.diagnose:
                found['examined'] = examine(*labels, num_classes, self.ignore_index)
        return found

    def _write(self, image_path: str | None, predicted: Tensor, reduce_zero_label: bool) -> None:
        if image_path is None:
            raise DataError('writing label maps needs "img_path" in the data samples')
        name = f'{os.path.splitext(image_path)[0]}.png'
        if self._written.setdefault(name, image_path) != image_path:
            raise DataError(
                f'{image_path} and {self._written[name]} would both be written as {name}'
            )
        labels = predicted.cpu().numpy().astype(np.int64) + bool(reduce_zero_label)
        assert self.predictions_dir is not None
        stage_label_map(self.predictions_dir, image_path, labels)

    def write_predictions(self, samples: list[dict]) -> None:
        """Put the label maps of all processes into place, see `output_dir`."""
        assert self.predictions_dir is not None
        place_label_maps(self.predictions_dir, [sample['id'] for sample in samples])

    def score(self, samples: list[dict]) -> EvaluationResult:
        """Add the counts of all images up and compute every score from the sum."""
        num_classes = len(self.classes)
        cells = np.zeros(num_classes * num_classes, dtype=np.int64)
        for sample in samples:
            cells[sample['cells']] += sample['counts']
        matrix = cells.reshape(num_classes, num_classes)
        scores = class_scores(matrix, self.beta)
        if self.nan_to_num is not None:
            scores = {name: np.nan_to_num(v, nan=self.nan_to_num) for name, v in scores.items()}

        metrics = {'aAcc': percent(float(_ratio(np.trace(matrix), matrix.sum())))}
        wanted = ['IoU', 'Acc', 'Dice']
        if 'mFscore' in self.iou_metrics:
            wanted += ['Fscore', 'Precision', 'Recall']
        for name in wanted:
            metrics[f'm{name}'] = percent(_mean_defined(scores[name]))
        if BOUNDARY in self.iou_metrics:
            edges = [sample['edges'] for sample in samples]
            scores[BOUNDARY_CLASS] = boundary_ious(edges, num_classes)
            metrics[BOUNDARY] = percent(_mean_defined(scores[BOUNDARY_CLASS]))
            wanted.append(BOUNDARY_CLASS)
        diagnosis = {}
        if self.diagnose:
            examined = [sample['examined'] for sample in samples]
            ids = [sample['id'] for sample in samples]
            diagnosis = diagnose_label_maps(examined, ids, matrix, self.classes).to_dict()
        pixels = matrix.sum(axis=1).tolist()
        per_class = [
            {'name': name, 'pixels': pixels[k]}
            | {n: None if np.isnan(scores[n][k]) else percent(scores[n][k]) for n in wanted}
            for k, name in enumerate(self.classes)
        ]
        counts = [class_counts(sample, num_classes) for sample in samples]
        hits, truth, predicted = np.reshape(counts, (-1, 3, num_classes)).swapaxes(0, 1)
        scored = int(np.isfinite(scores['IoU']).sum())
        fixed = self.nan_to_num
        without = 'left out of the means' if fixed is None else f'counted as {fixed}'
        print_log(f'mIoU {metrics["mIoU"]:.2f} % over {scored} of {num_classes} classes', 'current')
        return self.new_result(
            'semantic',
            len(samples),
            metrics=metrics,
            per_class=per_class,
            arrays={'confusion_matrix': matrix},
            diagnosis=diagnosis,
            statistics=Confusions(
                image_names([sample['id'] for sample in samples]),
                hits,
                truth,
                predicted,
                np.nan if self.nan_to_num is None else self.nan_to_num,
            ),
            per_sample=[
                {'id': sample['id'], 'score': _sample_score(*count)}
                for sample, count in zip(samples, counts, strict=True)
            ],
            protocol={
                'rule': f'pixels of label {self.ignore_index} ignored; classes in neither truth '
                f'nor prediction {without}',
                'classes': num_classes,
                'classes_scored': f'{scored} of {num_classes}',
                'ignore_index': self.ignore_index,
                'pixels': int(matrix.sum()),
                'undefined_classes': without,
                'image_score': 'mean IoU, percent, of the classes in its truth or prediction',
            },
        )

    def read_predictions(self, path: Path, dataset: dict | None = None) -> list[dict]:
        """Count the label PNGs of a folder against the truth of a dataset.

        Args:
            path: Folder of PNGs named like the images, see `find_label_maps`; or the folder that
                `predict` wrote.
            dataset: Config of an mmseg dataset; its images are not needed.
        """
        if dataset is None:
            raise DataError('scoring saved label maps needs the config of the dataset')
        if not path.is_dir():
            raise PredictionError(f'{path}: expected a folder of label maps')
        built = build_lazily(dataset)
        self.dataset_meta = built.metainfo
        offset = int(bool(built.metainfo.get('reduce_zero_label')))
        image_dir = built.data_prefix.get('img_path')
        images, truths = truth_of_dataset(dataset, built)
        files, by_predict = saved_label_maps(path, images, image_dir)
        if by_predict:
            offset = 0  # `predict` writes class indices
        else:
            _name_unknown(path, files)
        refuse_missing(path, files)
        samples = []
        for image, truth in zip(images, truths, strict=True):
            labels = torch.from_numpy(read_saved_labels(files[image], len(self.classes), offset))
            where = str(files[image])
            samples.append(self._count(image, labels, torch.from_numpy(truth), where))
        self.predictions_dir = None  # of these they are there already
        return samples

    def save_predictions(self, directory: str | Path) -> None:
        """Write each prediction as it comes, see `output_dir`."""
        super().save_predictions(directory)
        self._written = {}

    def evaluate(self, size: int) -> dict[str, float]:
        """See `TaskMetric.evaluate`."""
        self._written = {}
        return super().evaluate(size)


def count_pixels(
    predicted: Tensor, truth: Tensor, num_classes: int, ignore_index: int = 255
) -> Tensor:
    """Confusion matrix of two label maps, counted on their device.

    Args:
        predicted: Class indices of any integer type and shape.
        truth: Class indices of the same shape; `ignore_index` where nothing is known.
        num_classes: Number of classes C.
        ignore_index: Value of pixels of the truth that do not count.

    Returns:
        (C, C) int64, rows truth, columns prediction.

    Raises:
        ValueError: A prediction, or a truth other than `ignore_index`, is not in 0..C-1.
    """
    predicted, truth = predicted.reshape(-1), truth.reshape(-1)
    if predicted.device.type == 'cpu' and ignore_index >= 0:
        return torch.from_numpy(
            count_array(predicted.numpy(), truth.numpy(), num_classes, ignore_index)
        )
    counts = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=predicted.device)
    for start in range(0, len(truth), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        counts += count_tensor(predicted[part], truth[part], num_classes, ignore_index)
    return counts


def count_array(
    predicted: np.ndarray, truth: np.ndarray, num_classes: int, ignore_index: int
) -> np.ndarray:
    """Count as `count_pixels` does, by hotcoco; `ignore_index` is not negative."""
    _check_range(predicted, num_classes, 'predicted class')
    try:
        matrix = pixel_confusion(truth, predicted, num_classes, ignore_index=ignore_index)
    except ValueError:
        _check_range(truth[truth != ignore_index], num_classes, 'true class')
        raise
    return matrix.astype(np.int64)


def count_tensor(predicted: Tensor, truth: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Count as `count_pixels` does, on the device of the labels."""
    known = truth != ignore_index
    _check_range(predicted, num_classes, 'predicted class')
    _check_range(truth[known], num_classes, 'true class')
    # one more row, after the last class, takes the pixels that do not count
    cells = torch.where(known, truth.to(torch.int64), num_classes)
    cells = cells.mul_(num_classes).add_(predicted)
    counts = torch.bincount(cells, minlength=(num_classes + 1) * num_classes)
    return counts.reshape(num_classes + 1, num_classes)[:num_classes]


def _check_range(labels: np.ndarray | Tensor, num_classes: int, what: str) -> None:
    if len(labels):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            wrong = low if low < 0 else high
            raise ValueError(f'{what} {wrong} is not in 0..{num_classes - 1}')


def class_scores(matrix: np.ndarray, beta: float = 1) -> dict[str, np.ndarray]:
    """Scores of each class, 0-1, NaN where undefined.

    Args:
        matrix: (C, C) counts, rows truth, columns prediction.
        beta: Weight of recall in the F-score.

    Returns:
        `IoU`, `Acc`, `Dice`, `Fscore`, `Precision`, `Recall`, each (C,).
    """
    hits, truth, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    precision, recall = _ratio(hits, predicted), _ratio(hits, truth)
    return {
        'IoU': _ratio(hits, truth + predicted - hits),
        'Acc': recall,
        'Dice': _ratio(2 * hits, truth + predicted),
        'Fscore': _ratio((1 + beta**2) * precision * recall, beta**2 * precision + recall),
        'Precision': precision,
        'Recall': recall,
    }


def percent(share: float) -> float:
    """A share of 0-1 in percent, as a Python float."""
    return float(share) * 100


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.divide(numerator, denominator, dtype=np.float64)


def _mean_defined(values: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # no class is defined: NaN
        return float(np.nanmean(values))


def class_counts(sample: dict, num_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of each class of a compact sample that are hit, true and predicted, each (C,)."""
    rows, columns = np.divmod(sample['cells'], num_classes)
    counts = sample['counts']
    kinds = ((rows, counts * (rows == columns)), (rows, counts), (columns, counts))
    hits, truth, predicted = (
        np.bincount(classes, pixels, num_classes).astype(np.int64) for classes, pixels in kinds
    )
    return hits, truth, predicted


def _sample_score(hits: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean IoU, percent, of one image over the classes in its truth or prediction."""
    score = _mean_defined(_ratio(hits, truth + predicted - hits))
    return 0.0 if np.isnan(score) else percent(score)


def _name_unknown(folder: Path, files: dict[str, Path]) -> None:
    """Tell of label maps of no image; those of the run that wrote the folder stop the scoring."""
    extra, foreign = unknown_label_maps(folder, files.values())
    if extra:
        raise PredictionError(f'{extra[0]}: no such image in the dataset ({len(extra)} such files)')
    if foreign:
        print_log(f'{len(foreign)} other PNGs in {folder} are not scored', 'current')


def _label_map(element: dict) -> Tensor:
    labels = torch.as_tensor(as_dict(element)['data'])
    if labels.is_floating_point():  # mmseg's of one output under a sigmoid
        labels = labels.long()
    return labels.reshape(labels.shape[-2:])
