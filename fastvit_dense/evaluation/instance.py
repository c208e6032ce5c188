"""Instance segmentation and detection, scored as COCO does."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmengine.registry import METRICS
from pycocotools.coco import COCO
from torch import Tensor

from ..config.loaders import dataset_classes
from ..datasets.formats.coco import absent_ids
from ..errors import DataError, PredictionError
from . import coco, coco_scores
from .base import TaskMetric, as_dict, loaded_part
from .boundary import evaluate_boundaries
from .box_hints import tell_hints
from .coco_matches import RECALLS, THRESHOLDS, Evaluation
from .coco_matching import ENGINE, evaluate
from .detection_diagnosis import diagnose_detections
from .masks import check_codes, code_bytes, encode_masks
from .predictions import read_coco_results, write_coco_results
from .record import EvaluationResult
from .statistics import Detections


@METRICS.register_module()
class InstanceMetric(TaskMetric):
    """COCO's box, mask and boundary scores with the arguments of mmdet's `CocoMetric`.

    The numbers are pycocotools', boxes' and masks' computed by hotcoco, boundaries' by pycocotools
    itself; but an object whose annotation has the id 0 is not lost. Masks are scored with mask
    areas.
    Labels count the dataset's `classes`, whatever the order of the categories in the annotation
    file, and whether it has all of them; without `classes`, the categories of the file.

    Names: `{metric}_mAP`, `_mAP_50`, `_mAP_75`, `_mAP_s`, `_mAP_m`, `_mAP_l`,
    `_AR@1`, `_AR@10`, `_AR@100`, `_AR_s@100`, `_AR_m@100`, `_AR_l@100`; 0-1, -1 where
    undefined.

    Args:
        ann_file: COCO annotation file. Without one the ground truth comes from `instances` of
            the data samples, with box areas.
        metric: `'bbox'`, `'segm'`, `'boundary'` or a list of them.
        classwise: Also return `{metric}_{class}_precision` and log a table. The numbers per
            class are in the result either way.
        proposal_nums: Limits on the detections per image and class; the last one counts for AP.
        iou_thrs: IoU thresholds, 0.50:0.05:0.95 when None.
        metric_items: Return only these, e.g. `['mAP', 'AR@100']`.
        format_only: Only write the result files, for a test server; needs `outfile_prefix`.
        outfile_prefix: Write `{prefix}.bbox.json` and `{prefix}.segm.json`.
        backend_args: mmengine's file backend for `ann_file`.
        collect_device: See `TaskMetric`.
        prefix: See `TaskMetric`.
        collect_dir: See `TaskMetric`.
        sort_categories: Take the categories by ascending id, for Objects365.

    Raises:
        MissingFileError: There is no such annotation file.
        DataError: An argument or the annotation file is wrong.
    """

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | Sequence[str] = 'bbox',
        classwise: bool = False,
        proposal_nums: Sequence[int] = (1, 10, 100),
        iou_thrs: float | Sequence[float] | None = None,
        metric_items: Sequence[str] | None = None,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        sort_categories: bool = False,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.metrics = [metric] if isinstance(metric, str) else list(metric)
        unknown = set(self.metrics) - {'bbox', 'segm', 'boundary'}
        if unknown or not self.metrics:
            raise DataError(f"metric: 'bbox', 'segm' and 'boundary' can be scored, not {metric!r}")
        if format_only and outfile_prefix is None:
            raise DataError('format_only needs outfile_prefix: where to write the result files')
        self.ann_file = ann_file
        self.classwise = classwise
        self.max_detections = sorted(proposal_nums)
        self.iou_thresholds = THRESHOLDS if iou_thrs is None else np.atleast_1d(iou_thrs)
        self.metric_items = metric_items
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.sort_categories = sort_categories
        self.truth: COCO | None = None
        if ann_file is not None:
            with_masks = bool(set(self.metrics) - {'bbox'})
            self.truth = coco.load_annotations(ann_file, backend_args, with_masks)
            if 'annotations' not in self.truth.dataset and not format_only:
                raise DataError(
                    f'annotation file {ann_file} holds no "annotations" (as COCO test-dev): '
                    'set format_only=True and outfile_prefix to write the result files'
                )
        self._category_ids: list[int] | None = None

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the dataset; `classes` chooses the categories."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        self._dataset_meta = dataset_meta
        self._category_ids = None

    @property
    def category_ids(self) -> list[int]:
        """Category id of each label."""
        if self._category_ids is None:
            classes = (self.dataset_meta or {}).get('classes')
            if self.truth is None:
                if classes is None:
                    raise DataError('without ann_file the dataset must name its "classes"')
                self._category_ids = list(range(len(classes)))
            else:
                self._category_ids = self._ids_of(self.truth, classes)
        return self._category_ids

    def _ids_of(self, truth: COCO, classes: Sequence[str] | None) -> list[int]:
        categories = truth.dataset['categories']
        if self.sort_categories:
            categories = sorted(categories, key=lambda category: category['id'])
        if classes is None:
            return [category['id'] for category in categories]
        ids = {category['name']: category['id'] for category in categories}
        absent = [name for name in classes if name not in ids]
        for name in absent:
            near = difflib.get_close_matches(name, ids, n=1)
            if near or len(absent) == len(classes):
                hint = f'; did you mean {near[0]!r}?' if near else ''
                raise DataError(
                    f'annotation file {self.ann_file}: no category {name!r} among the '
                    f'{len(ids)} there{hint} (the classes are metainfo.classes of the dataset)'
                )
        for name, number in absent_ids(absent).items():
            truth.cats[number] = {'id': number, 'name': name}
            truth.dataset['categories'].append(truth.cats[number])
            ids[name] = number
        return [ids[name] for name in classes]

    def compact(self, sample: dict) -> dict:
        """Boxes (x, y, width, height), scores, labels and run-length codes of one image.

        Args:
            sample: `img_id` and `pred_instances` with `bboxes` (N, 4) as x1, y1, x2, y2,
                `scores` (N,), `labels` (N,), and for masks `masks`, (N, H, W) or
                run-length codes; `mask_scores` (N,) where masks have their own.
        """
        predicted = as_dict(sample['pred_instances'])
        image_id = sample.get('img_id')
        if image_id is None:
            raise PredictionError('a sample has no "img_id"')
        corners = _float64(predicted['bboxes']).reshape(-1, 4)
        with np.errstate(invalid='ignore'):
            sides = corners[:, 2:] - corners[:, :2]
        found = {
            'id': int(image_id),
            'boxes': np.concatenate([corners[:, :2], sides], axis=1),
            'scores': _float64(predicted['scores']),
            'labels': _numpy(predicted['labels']).astype(np.int64),
        }
        masks = predicted.get('masks')
        if masks is not None:
            masks = encode_masks(masks)
            found['masks'] = masks
            if 'mask_scores' in predicted:
                found['mask_scores'] = _float64(predicted['mask_scores'])
        elif not self.format_only and set(self.metrics) - {'bbox'}:
            raise PredictionError(f'image {image_id}: metric {self.metrics} needs "masks"')
        if self.truth is None:
            if 'instances' not in sample:
                raise PredictionError(f'image {image_id}: no "instances" and no ann_file')
            found['truth'] = (sample['ori_shape'][:2], sample['instances'])
        self.check(found, f'image {image_id}')
        if masks is not None:
            found['masks'] = [code_bytes(code) for code in masks]
        return found

    def check(self, found: dict, where: str) -> None:
        """Raise PredictionError, naming image and detection, unless all can be scored."""
        count = len(found['labels'])
        for field in ('boxes', 'scores', 'masks', 'mask_scores'):
            if field in found and len(found[field]) != count:
                raise PredictionError(
                    f'{where}: {count} labels but {len(found[field])} {field.replace("_", " ")}'
                )
        labels = found['labels']
        wrong = (labels < 0) | (labels >= len(self.category_ids))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise PredictionError(
                f'{where}, detection {i}: label {labels[i]} is not in '
                f'0..{len(self.category_ids) - 1}'
            )
        for field in ('boxes', 'scores', 'mask_scores'):
            if field in found:
                finite = np.isfinite(found[field])
                if not finite.all():
                    i = int(np.argwhere(~finite)[0, 0])
                    value = np.asarray(found[field][i]).tolist()
                    raise PredictionError(f'{where}, detection {i}: {field} {value} not finite')
        if self.truth is not None:
            image = self.truth.imgs.get(found['id'])
            if image is None:
                raise PredictionError(f'{where}: no such image id in {self.ann_file}')
            size = [image['height'], image['width']]
        else:
            size = [int(n) for n in found['truth'][0]]
        if found.get('masks'):
            check_codes(found['masks'], size, lambda i: f'{where}, detection {i}')
            found['size'] = size

    def score(self, samples: list[dict]) -> EvaluationResult:
        """COCO's numbers over the images that were loaded.

        Where some of them were not predicted, over all images: the rest counts as missed.
        """
        first: dict[int, dict] = {}
        for sample in samples:
            first.setdefault(sample['id'], sample)
        samples = list(first.values())
        truth = self.truth
        if truth is None:
            truth = coco.truth_of_samples(samples, (self.dataset_meta or {})['classes'])
        elif len(samples) >= self.size:
            truth = coco.part_of(truth, {sample['id'] for sample in samples})
        metrics: dict[str, float] = {}
        curves: dict[str, dict[str, list[float]]] = {}
        arrays: dict[str, np.ndarray] = {}
        evaluations: dict[str, Evaluation] = {}
        per_class = coco.count_objects(truth, self.category_ids)
        for metric in self.metrics:
            found = self.match(truth, samples, metric)
            for name, value in self.summarize(found).items():
                metrics[f'{metric}_{name}'] = value
            for row, scores in zip(per_class, coco_scores.per_category(found), strict=True):
                row.update({f'{metric}_{name}': value for name, value in scores.items()})
            for threshold, values in coco_scores.precision_curves(found).items():
                arrays[f'{metric}_precision_{threshold}'] = values.astype(np.float32)
                curves.setdefault('precision_recall', {'recall': _plain(RECALLS)})
                curves['precision_recall'][f'{metric}_{threshold}'] = [
                    coco_scores.mean_defined(at_recall) for at_recall in values
                ]
            evaluations[metric] = found
        image_ids = sorted(truth.imgs)
        image_scores = coco_scores.image_scores(found, len(image_ids)).tolist()
        self._select(metrics, per_class)
        return self.new_result(
            'instance',
            len(truth.imgs),
            metrics=metrics,
            per_class=per_class,
            curves=curves,
            arrays=arrays,
            statistics=Detections(
                np.array([str(i) for i in image_ids]),
                {metric: found.matches for metric, found in evaluations.items()},
                self.iou_thresholds,
                len(per_class),
            ),
            diagnosis=self._diagnose(truth, samples, evaluations),
            per_sample=[
                {'id': i, 'score': score, 'file_name': truth.imgs[i].get('file_name', '')}
                for i, score in zip(image_ids, image_scores, strict=True)
            ],
            protocol={
                'rule': self._rule(),
                'metrics': self.metrics,
                'categories': len(per_class),
                'detections': sum(len(sample['labels']) for sample in samples),
                'objects': sum(row['objects'] for row in per_class),
                'iou_thresholds': _plain(self.iou_thresholds),
                'max_detections': self.max_detections,
                'mask_scores_by': 'mask area',
                'evaluator': ENGINE,
                'image_score': f'best F1 over score cuts, {self.metrics[-1]} IoU 0.5',
            },
        )

    def _diagnose(
        self, truth: COCO, samples: list[dict], evaluations: dict[str, Evaluation]
    ) -> dict[str, Any]:
        if not self.diagnose:
            return {}
        limit = self.max_detections[-1]
        found = diagnose_detections(truth, samples, self.category_ids, limit, evaluations)
        return found.to_dict()

    def _rule(self) -> str:
        """One line on what is scored and how."""
        low, high = self.iou_thresholds[0], self.iou_thresholds[-1]
        sizes = "sizes by the annotations' areas, unmatched detections by their own"
        return (
            f'IoU {low:.2f}{f"–{high:.2f}" if high > low else ""}; at most '
            f'{self.max_detections[-1]} detections an image; {sizes}'
            f'{" (masks: mask areas)" if "segm" in self.metrics else ""}; crowds and ignored '
            'objects neither found nor missed'
        )

    def new_result(
        self, task: str, samples: int, total: int | None = None, **fields: object
    ) -> EvaluationResult:
        """Name the split after the annotation file unless the dataset names it."""
        total = self.size if self.truth is None else len(self.truth.imgs)
        result = super().new_result(task, samples, total, **fields)
        if self.ann_file and not result.split:
            result.split = Path(self.ann_file).stem.removeprefix('instances_')
        return result

    def _select(self, metrics: dict[str, float], per_class: list[dict]) -> None:
        """Apply `metric_items` and `classwise`."""
        if self.metric_items is not None:
            names = {f'{metric}_{item}' for metric in self.metrics for item in self.metric_items}
            if names - metrics.keys():
                raise DataError(
                    f'metric_items: no {sorted(names - metrics.keys())} among {sorted(metrics)}'
                )
            for name in metrics.keys() - names:
                del metrics[name]
        if self.classwise:
            for metric in self.metrics:
                for row in per_class:
                    value = row[f'{metric}_AP']
                    metrics[f'{metric}_{row["name"]}_precision'] = -1.0 if value is None else value
            print_log('\n' + coco_scores.class_table(per_class), 'current')

    def match(self, truth: COCO, samples: list[dict], metric: str) -> Evaluation:
        """Match and accumulate the compact samples of all images by `'bbox'`, `'segm'`, ..."""
        given = (self.category_ids, self.max_detections, self.iou_thresholds)
        if metric == 'boundary':
            return evaluate_boundaries(truth, samples, *given)
        return evaluate(truth, samples, metric, *given)

    def summarize(self, found: Evaluation) -> dict[str, float]:
        """COCO's numbers of one kind of overlap."""
        return coco_scores.summarize(found)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score, and write the result files that were asked for."""
        if self.outfile_prefix is not None:
            kinds = ['bbox', 'segm'] if any('masks' in r for r in results) else ['bbox']
            for kind in kinds:
                path = Path(f'{self.outfile_prefix}.{kind}.json')
                write_coco_results(path, results, self.category_ids, kind)
        return super().compute_metrics(results)

    def write_predictions(self, samples: list[dict]) -> None:
        """Write `instances.json`: boxes and masks in one COCO result file."""
        assert self.predictions_dir is not None
        path = self.predictions_dir / 'instances.json'
        write_coco_results(path, samples, self.category_ids, 'both')

    def read_predictions(self, path: Path, dataset: Any = None) -> list[dict]:
        """Compact samples from a COCO result file.

        A file with boxes alone is scored for boxes, one with masks alone gets their boxes; a line
        says so.

        Args:
            path: The file, the folder that holds it as `instances.json`, or the folder that
                `predict` wrote.
            dataset: The dataset or its config, whose classes choose the categories as in a test.
        """
        if self.truth is None:
            raise DataError('scoring saved predictions needs ann_file')
        if dataset is not None:
            is_config = isinstance(dataset, dict)
            classes = dataset_classes(dataset) if is_config else dataset.metainfo.get('classes')
            self.dataset_meta = {**(self.dataset_meta or {}), 'classes': classes}
        samples = read_coco_results(path, self.truth, self.category_ids)
        indices = dataset.get('indices') if isinstance(dataset, dict) else None
        if indices is not None:
            samples = loaded_part(samples, indices)
        without = sum(not len(sample['labels']) for sample in samples)
        if without:
            print_log(
                f'{path}: {without} of {len(samples)} images have no predictions: their objects '
                'count as missed',
                'current',
            )
        tell_hints(path, samples, self.truth)
        if samples and 'masks' not in samples[0] and self.metrics != ['bbox']:
            if 'bbox' not in self.metrics:
                raise PredictionError(
                    f'{path} holds boxes alone, metric {self.metrics} needs masks'
                )
            self.metrics = ['bbox']
            print_log(f'{path} holds boxes alone: boxes are scored, masks are not', 'current')
        return samples


def _numpy(values: Tensor | np.ndarray | list) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _float64(values: Tensor | np.ndarray | list) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=np.float64)


def _plain(values: np.ndarray) -> list[float]:
    return [round(float(v), 10) for v in values]
