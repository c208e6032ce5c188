"""COCO ground truth and scoring through faster-coco-eval, as plain functions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from ..datasets.check.coco_rules import structure_findings
from ..datasets.formats.coco import read_coco
from ..errors import DataError

AREAS = ('all', 's', 'm', 'l')


def load_annotations(
    path: str | Path, backend_args: dict | None = None, with_masks: bool = False
) -> COCO:
    """Read a COCO annotation file by the rules that hold for training, too.

    A file without `annotations` (COCO's test-dev) is read as well.

    Args:
        path: The JSON file.
        backend_args: mmengine's file backend.
        with_masks: Every annotation needs a mask.

    Raises:
        MissingFileError: There is no such file.
        DataError: It cannot be scored against; the message names file, entry and field.
    """
    content = read_coco(path, backend_args)
    faults = structure_findings(content, str(path), with_masks=with_masks, with_files=False)
    if faults:
        more = f' ... and {len(faults) - 1} more faults' if len(faults) > 1 else ''
        raise DataError(f'{faults[0]}{more}')
    return COCO(content)


def part_of(truth: COCO, image_ids: set[int]) -> COCO:
    """The ground truth of some of its images; itself where these are all."""
    if image_ids.issuperset(truth.imgs):
        return truth
    content = truth.dataset
    images = [image for image in content['images'] if image['id'] in image_ids]
    annotations = [a for a in content['annotations'] if a['image_id'] in image_ids]
    return COCO({**content, 'images': images, 'annotations': annotations})


def truth_of_samples(samples: list[dict], classes: Sequence[str]) -> COCO:
    """Ground truth from data samples, with box areas, as mmdet's `CocoMetric` converts it.

    Args:
        samples: `id` and `truth`: ((height, width), mmdet's `instances`).
        classes: Names of the labels, which become the category ids.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    for sample in samples:
        (height, width), instances = sample['truth']
        images.append({'id': sample['id'], 'height': int(height), 'width': int(width)})
        for instance in instances:
            x1, y1, x2, y2 = (float(x) for x in instance['bbox'])
            annotation = {
                'id': len(annotations) + 1,
                'image_id': sample['id'],
                'category_id': int(instance['bbox_label']),
                'bbox': [x1, y1, x2 - x1, y2 - y1],
                'area': (x2 - x1) * (y2 - y1),
                'iscrowd': int(instance.get('ignore_flag', 0)),
            }
            if instance.get('mask') is not None:
                annotation['segmentation'] = instance['mask']
            annotations.append(annotation)
    categories = [{'id': i, 'name': name} for i, name in enumerate(classes)]
    return COCO({'images': images, 'annotations': annotations, 'categories': categories})


def run(
    truth: COCO,
    detections: list[dict],
    iou_type: str,
    category_ids: list[int],
    max_detections: list[int],
    iou_thresholds: np.ndarray | None = None,
) -> COCOeval_faster:
    """Match and accumulate all images of the ground truth.

    Args:
        truth: The ground truth.
        detections: COCO result entries with `id` and `area` set, in order of prediction
            within each image.
        iou_type: `'bbox'`, `'segm'` or `'boundary'`.
        category_ids: Categories to score.
        max_detections: Limits on the detections per image and category, ascending.
        iou_thresholds: IoU thresholds; 0.50:0.05:0.95 when None.

    Returns:
        The evaluator; `eval['precision']` is (T, R, K, A, M), `eval['recall']` (T, K, A, M)
        over thresholds, 101 recalls, categories (ascending), areas and limits, -1 undefined.
    """
    predicted = COCO(
        {
            'images': truth.dataset['images'],
            'categories': truth.dataset['categories'],
            'annotations': detections,
        }
    )
    evaluator = COCOeval_faster(truth, predicted, iou_type, print_function=lambda *_: None)
    evaluator.params.catIds = sorted(category_ids)
    evaluator.params.maxDets = list(max_detections)
    if iou_thresholds is not None:
        evaluator.params.iouThrs = np.asarray(iou_thresholds, dtype=np.float64)
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator


def summarize(evaluator: COCOeval_faster) -> dict[str, float]:
    """COCO's numbers, 0-1, -1 undefined: `mAP`, `mAP_50`, ..., `AR@1`, ..., `AR_l@100`."""
    precision, recall = evaluator.eval['precision'], evaluator.eval['recall']
    limits = evaluator.params.maxDets
    numbers = {'mAP': mean_defined(precision[..., 0, -1])}
    for threshold in (0.5, 0.75):
        chosen = at_threshold(evaluator, threshold)
        numbers[f'mAP_{threshold * 100:.0f}'] = mean_defined(precision[chosen][..., 0, -1])
    for index, area in enumerate(AREAS[1:], start=1):
        numbers[f'mAP_{area}'] = mean_defined(precision[..., index, -1])
    for index, limit in enumerate(limits):
        numbers[f'AR@{limit}'] = mean_defined(recall[..., 0, index])
    for index, area in enumerate(AREAS[1:], start=1):
        numbers[f'AR_{area}@{limits[-1]}'] = mean_defined(recall[..., index, -1])
    return numbers


def per_category(evaluator: COCOeval_faster) -> list[dict[str, float | None]]:
    """AP, AP50, AP75 and AR of each scored category, ascending by id; None where undefined."""
    precision, recall = evaluator.eval['precision'], evaluator.eval['recall']
    rows = []
    for k in range(len(evaluator.params.catIds)):
        row = {'AP': mean_defined(precision[:, :, k, 0, -1])}
        for threshold in (0.5, 0.75):
            chosen = at_threshold(evaluator, threshold)
            row[f'AP{threshold * 100:.0f}'] = mean_defined(precision[chosen][:, :, k, 0, -1])
        row['AR'] = mean_defined(recall[:, k, 0, -1])
        rows.append({name: None if value == -1 else value for name, value in row.items()})
    return rows


def precision_curves(evaluator: COCOeval_faster) -> dict[str, np.ndarray]:
    """Precision at the 101 recalls, (R, K), -1 undefined, at IoU `'50'` and `'75'`."""
    curves = {}
    for threshold in (0.5, 0.75):
        chosen = at_threshold(evaluator, threshold)
        if chosen.size:
            curves[f'{threshold * 100:.0f}'] = evaluator.eval['precision'][chosen[0], :, :, 0, -1]
    return curves


def at_threshold(evaluator: COCOeval_faster, threshold: float) -> np.ndarray:
    """Index of an IoU threshold, empty when it is not among those scored."""
    return np.flatnonzero(evaluator.params.iouThrs == threshold)


def mean_defined(values: np.ndarray) -> float:
    """Mean of the values above -1, -1 when there is none."""
    values = values[values > -1]
    return float(np.mean(values)) if values.size else -1.0


def image_scores(evaluator: COCOeval_faster) -> dict[int, float]:
    """Score of each image, 0-1: its best F1 over the score cuts at IoU 0.5.

    Detections are matched to the objects of their class greedily by score; a crowd region takes
    any number and counts for nothing. Without objects: one minus the highest score.
    """
    limit = evaluator.params.maxDets[-1]
    by_image: dict[int, dict[int, np.ndarray]] = {}
    for (image, category), ious in evaluator.ious.items():
        if len(ious):
            by_image.setdefault(image, {})[category] = np.asarray(ious)
    wanted = set(evaluator.params.catIds)
    scores = {}
    for image in evaluator.params.imgIds:
        truth = [a for a in evaluator.cocoGt.imgToAnns[image] if a['category_id'] in wanted]
        found = [a for a in evaluator.cocoDt.imgToAnns[image] if a['category_id'] in wanted]
        scores[int(image)] = _best_f1(truth, found, by_image.get(image, {}), limit)
    return scores


def _best_f1(truth: list[dict], found: list[dict], ious: dict, limit: int) -> float:
    objects = sum(not a.get('iscrowd', 0) for a in truth)
    if not objects:
        return min(max(1.0 - max((a['score'] for a in found), default=0.0), 0.0), 1.0)
    scores: list[float] = []
    hits: list[int] = []
    crowds: dict[int, list[bool]] = {}
    ranked: dict[int, list[float]] = {}
    for a in truth:
        crowds.setdefault(a['category_id'], []).append(bool(a.get('iscrowd', 0)))
    for a in found:
        ranked.setdefault(a['category_id'], []).append(a['score'])
    for category, values in ranked.items():
        values = sorted(values, reverse=True)[:limit]
        hit = [0] * len(values)
        if category in ious:
            hit = _greedy_matches(ious[category], crowds[category])
        scores += values
        hits += hit
    ordered = np.array(hits)[np.argsort(-np.array(scores), kind='stable')]
    ordered = ordered[ordered >= 0]
    if not ordered.size:
        return 0.0
    correct = np.cumsum(ordered)
    return float(np.max(2 * correct / (np.arange(1, len(ordered) + 1) + objects)))


def _greedy_matches(ious: np.ndarray, crowd: list[bool]) -> list[int]:
    """1 matched, 0 not, -1 ignored for each detection (rows, by falling score)."""
    free = np.array([not c for c in crowd])
    in_crowd = ~free
    result = [0] * len(ious)
    for row in np.flatnonzero((ious >= 0.5).any(axis=1)):
        best = np.where(free, ious[row], -1)
        match = int(best.argmax())
        if best[match] >= 0.5:
            free[match] = False
            result[row] = 1
        elif (ious[row][in_crowd] >= 0.5).any():
            result[row] = -1
    return result
