"""COCO's numbers of made-up predictions: ours, hotcoco alone and pycocotools."""

import contextlib
import io
import tempfile
import time
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fastvit_dense.evaluation import coco_scores
from fastvit_dense.evaluation.bootstrap import uncertainty
from fastvit_dense.evaluation.coco import indexed
from fastvit_dense.evaluation.instance import InstanceMetric
from fastvit_dense.evaluation.report.writing import write_report

from .comparing import compared, measured

IMAGE_SIZE = (480, 640)
CATEGORIES = 80


def make_coco(images: int, detections: int, seed: int = 0) -> tuple[dict, list[dict]]:
    """Ground truth of ellipses, and result entries: half of them near an object."""
    random = np.random.default_rng(seed)
    height, width = IMAGE_SIZE
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    annotations, entries = [], []

    def ellipses(boxes: np.ndarray) -> list[list[float]]:
        corners = boxes[:, None, :2] + boxes[:, None, 2:] * (circle + 1) / 2
        return corners.reshape(len(boxes), -1).tolist()

    for image_id in range(1, images + 1):
        count = random.integers(1, 15)
        sides = np.exp(random.uniform(np.log(8), np.log(300), (count, 2)))
        corners = random.uniform(size=(count, 2)) * ([width, height] - sides)
        boxes = np.concatenate([corners, sides], axis=1)
        labels = random.integers(1, CATEGORIES + 1, count)
        for box, polygon, label in zip(boxes, ellipses(boxes), labels, strict=True):
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': int(label),
                    'bbox': box.tolist(),
                    'area': float(box[2] * box[3] * np.pi / 4),
                    'iscrowd': 0,
                    'segmentation': [polygon],
                }
            )
        chosen = random.integers(count, size=detections)
        found = boxes[chosen]
        shift = random.normal(0, 0.1, (detections, 2)) * found[:, 2:]
        sides = found[:, 2:] * np.exp(random.normal(0, 0.2, (detections, 2)))
        found = np.concatenate([found[:, :2] + shift, sides], axis=1)
        wrong = random.integers(1, CATEGORIES + 1, detections)
        found_labels = np.where(random.random(detections) < 0.5, labels[chosen], wrong)
        scores = random.random(detections).round(4)
        codes = coco_mask.frPyObjects(ellipses(found), height, width)
        for i, code in enumerate(codes):
            entries.append(
                {
                    'image_id': image_id,
                    'category_id': int(found_labels[i]),
                    'bbox': found[i].tolist(),
                    'score': float(scores[i]),
                    'segmentation': code,
                }
            )
    truth = {
        'images': [
            {'id': i, 'height': height, 'width': width, 'file_name': f'{i}.jpg'}
            for i in range(1, images + 1)
        ],
        'categories': [{'id': i, 'name': f'class {i}'} for i in range(1, CATEGORIES + 1)],
        'annotations': annotations,
    }
    return truth, entries


def compact_samples(entries: list[dict], detections: int) -> list[dict]:
    """The entries as `InstanceMetric` collects them, `detections` an image."""
    samples = []
    for start in range(0, len(entries), detections):
        part = entries[start : start + detections]
        samples.append(
            {
                'id': part[0]['image_id'],
                'boxes': np.array([entry['bbox'] for entry in part]),
                'scores': np.array([entry['score'] for entry in part]),
                'labels': np.array([entry['category_id'] - 1 for entry in part]),
                'masks': [entry['segmentation']['counts'] for entry in part],
                'size': list(IMAGE_SIZE),
            }
        )
    return samples


def compare_coco(images: int, detections: int) -> dict[str, Any]:
    """From collected predictions to COCO's numbers: ours, hotcoco alone and pycocotools."""
    results = {}
    for name, kind in (('boxes', 'bbox'), ('masks', 'segm')):
        sizes = (kind, images, detections)
        found, ours = measured(inputs_of_ours, score_ours, *sizes)
        alone, hotcoco = measured(inputs_of_hotcoco, score_hotcoco, *sizes)
        expected, other = measured(inputs_of_pycocotools, score_pycocotools, *sizes)
        parts, _ = measured(inputs_of_ours, parts_after_numbers, *sizes)
        difference = float(np.abs(np.subtract([found, alone], expected)).max())
        results[name] = compared(ours, other, difference, 'pycocotools') | {
            'hotcoco': hotcoco,
            'over_hotcoco': ours['seconds'] / hotcoco['seconds'],
            'parts': parts,
        }
    return results


def inputs_of_ours(kind: str, images: int, detections: int) -> tuple[InstanceMetric, list[dict]]:
    """Our metric of made-up truth, and the predictions that `score_ours` scores with it.

    Args:
        kind: 'bbox' or 'segm'.
        images: Number of images.
        detections: Number of predictions in each.
    """
    truth, entries = make_coco(images, detections)
    metric = InstanceMetric(metric=kind)
    metric.truth = indexed(truth)
    metric.size = images
    return metric, compact_samples(entries, detections)


def score_ours(inputs: tuple[InstanceMetric, list[dict]]) -> list[float]:
    """The twelve numbers of our metric, in COCO's order, from `inputs_of_ours`."""
    metric, samples = inputs
    found = metric.match(metric.truth, samples, metric.metrics[0])
    return list(coco_scores.summarize(found).values())


def parts_after_numbers(inputs: tuple[InstanceMetric, list[dict]]) -> dict[str, float]:
    """Seconds of what follows the numbers: per class, curves, images; and the report's files."""
    metric, samples = inputs
    start = time.perf_counter()
    score_ours(inputs)
    numbers = time.perf_counter()
    result = metric.score(samples)
    scored = time.perf_counter()
    uncertainty(result.statistics)
    sure = time.perf_counter()
    result.statistics = None
    with tempfile.TemporaryDirectory() as folder:
        write_report(result, folder)
    written = time.perf_counter()
    curves = max(scored - numbers - (numbers - start), 0.0)
    return {
        'classes, curves, images': curves,
        'bootstrap': sure - scored,
        'report': written - sure,
    }


def inputs_of_hotcoco(kind: str, images: int, detections: int) -> tuple:
    """The same truth and predictions for `score_hotcoco`; arguments as of `inputs_of_ours`."""
    truth, entries = make_coco(images, detections)
    rows = [[e['image_id'], *e['bbox'], e['score'], e['category_id']] for e in entries]
    masks = [entry['segmentation'] for entry in entries] if kind == 'segm' else None
    return truth, np.array(rows), masks, kind


def score_hotcoco(inputs: tuple) -> list[float]:
    """The twelve numbers of hotcoco alone, from `inputs_of_hotcoco`."""
    import hotcoco

    truth, rows, masks, kind = inputs
    true = hotcoco.COCO(truth)
    found = true.load_res(rows, segmentation=masks)
    if masks is not None:  # the areas are those of the boxes otherwise
        found.update_anns(ids=np.arange(1, len(rows) + 1), area=hotcoco.mask.area(masks))
    evaluator = hotcoco.COCOeval(true, found, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.run()
    return evaluator.stats.tolist()


def inputs_of_pycocotools(kind: str, images: int, detections: int) -> tuple[COCO, list[dict], str]:
    """The same truth and predictions for `score_pycocotools`; arguments as of `inputs_of_ours`."""
    truth, entries = make_coco(images, detections)
    if kind == 'segm':
        for entry in entries:
            del entry['bbox']
    coco = COCO()
    coco.dataset = truth
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco, entries, kind


def score_pycocotools(inputs: tuple[COCO, list[dict], str]) -> list[float]:
    """The twelve numbers of pycocotools, from `inputs_of_pycocotools`."""
    coco, entries, kind = inputs
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(coco, coco.loadRes(entries), kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()
