"""Speed and memory of the metrics against what people use instead, on made-up predictions.

Every pair runs on the same data, one after the other, and must agree.
"""

import contextlib
import io
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree

from fastvit_dense.evaluation import coco_scores
from fastvit_dense.evaluation.bootstrap import uncertainty
from fastvit_dense.evaluation.coco import indexed
from fastvit_dense.evaluation.hand_scores import evaluate_hand
from fastvit_dense.evaluation.instance import InstanceMetric
from fastvit_dense.evaluation.report.writing import write_report
from fastvit_dense.evaluation.semantic import count_pixels

from .machine import describe_machine

IMAGE_SIZE = (480, 640)
CATEGORIES = 80


@dataclass(frozen=True)
class Sizes:
    """Amounts that are scored: the defaults are COCO val2017's, ADE20K's and FreiHAND's sizes."""

    images: int = 5000
    detections: int = 100
    label_maps: int = 40
    hands: int = 3960
    paste: tuple[int, int] = (3000, 4000)


QUICK = Sizes(images=60, detections=30, label_maps=3, hands=60, paste=(300, 400))


def benchmark_evaluation(sizes: Sizes = Sizes()) -> dict[str, Any]:
    """Time and memory of all comparisons.

    Returns:
        JSON-able: `machine`, `sizes`, and `boxes`, `masks`, `paste`, `semantic`,
        `hand`, each with `ours`, `other`, `speedup` and `largest_difference`; boxes and masks
        also with `hotcoco` and `over_hotcoco`, how many times its time ours is, and `parts`:
        seconds of what follows the numbers up to the written report. `seconds` are wall time;
        `peak_mb` is the most memory of a process that did only this and `over_mb` how much of
        it came on top of the inputs. All run on one thread.
    """
    os.environ['RAYON_NUM_THREADS'] = '1'  # hotcoco's, in the processes started here
    torch.set_num_threads(1)
    results = {
        'machine': describe_machine('cpu'),
        'sizes': vars(sizes) | {},
    }
    results |= compare_coco(sizes.images, sizes.detections)
    results['paste'] = compare_paste(sizes.paste)
    results['semantic'] = compare_semantic(sizes.label_maps)
    results['hand'] = compare_hand(sizes.hands)
    return results


def measured(prepare: Callable, run: Callable, *args: Any) -> tuple[Any, dict[str, float]]:
    """Call `run(prepare(*args))` in a process of its own.

    Returns:
        What `run` returned, and its wall time, the process's peak memory and by how much `run`
        raised it.
    """
    context = multiprocessing.get_context('spawn')
    with context.Pool(1) as pool:
        return pool.apply(_measure, (prepare, run, args))


def _measure(prepare: Callable, run: Callable, args: tuple) -> tuple[Any, dict[str, float]]:
    inputs = prepare(*args)
    before = _peak_mb()
    start = time.perf_counter()
    result = run(inputs)
    seconds = time.perf_counter() - start
    peak = _peak_mb()
    return result, {'seconds': seconds, 'peak_mb': peak, 'over_mb': peak - before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _compared(ours: dict, other: dict, difference: float, against: str) -> dict[str, Any]:
    return {
        'against': against,
        'ours': ours,
        'other': other,
        'speedup': other['seconds'] / ours['seconds'],
        'largest_difference': difference,
    }


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
        results[name] = _compared(ours, other, difference, 'pycocotools') | {
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


def compare_paste(size: tuple[int, int], detections: int = 100) -> dict[str, Any]:
    """Masks of one image pasted and encoded: ours against mmdet's mask head and encoding."""
    found, ours = measured(_inputs_of_paste, _paste, True, size, detections)
    expected, other = measured(_inputs_of_paste, _paste, False, size, detections)
    differing = sum(a != b for a, b in zip(found, expected, strict=True))
    return _compared(ours, other, float(differing), 'mmdet FCNMaskHead and encode_mask_results')


def _inputs_of_paste(encoding: bool, size: tuple[int, int], detections: int) -> tuple:
    from fastvit_dense.mask_head import FCNMaskHead, RLEMaskHead

    random = np.random.default_rng(0)
    height, width = size
    sides = np.exp(random.uniform(np.log(0.03), np.log(1), (detections, 2))) * [width, height]
    corners = random.uniform(size=(detections, 2)) * ([width, height] - sides)
    boxes = torch.tensor(np.concatenate([corners, corners + sides], axis=1), dtype=torch.float32)
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    logits = torch.tensor(6 * (0.7 - x**2 - y**2), dtype=torch.float32)
    head = (RLEMaskHead if encoding else FCNMaskHead)(num_convs=0, num_classes=1)
    return head, logits.repeat(detections, 1, 1, 1), boxes, size


def _paste(inputs: tuple) -> list[bytes]:
    from mmdet.structures.mask import encode_mask_results
    from mmengine.config import ConfigDict

    head, logits, boxes, size = inputs
    meta = {'ori_shape': size, 'scale_factor': (1.0, 1.0)}
    labels = torch.zeros(len(boxes), dtype=torch.long)
    settings = ConfigDict(mask_thr_binary=0.5)
    masks = head._predict_by_feat_single(logits, boxes, labels, meta, settings, rescale=True)
    codes = masks if isinstance(masks, list) else encode_mask_results(masks.numpy())
    return [code['counts'] for code in codes]


def compare_semantic(count: int, size: tuple[int, int] = (512, 683), classes: int = 150) -> dict:
    """Counting one label map: the median over `count` maps, one after the other."""
    from mmseg.evaluation import IoUMetric

    random = np.random.default_rng(0)
    seconds, difference = {'ours': [], 'other': []}, 0
    for index in range(count + 1):
        blocks = random.integers(0, classes, (8, 11))
        truth = np.kron(blocks, np.ones((64, 64), int))[: size[0], : size[1]]
        noise = random.random(size)
        predicted = np.where(noise < 0.8, truth, random.integers(0, classes, size))
        truth = torch.from_numpy(np.where(noise > 0.95, 255, truth))
        predicted = torch.from_numpy(predicted)
        start = time.perf_counter()
        matrix = count_pixels(predicted, truth, classes)
        middle = time.perf_counter()
        areas = IoUMetric.intersect_and_union(predicted, truth, classes, 255)
        end = time.perf_counter()
        if index:  # the first of each is not counted
            seconds['ours'].append(middle - start)
            seconds['other'].append(end - middle)
        for area, expected in zip(
            (areas[0], areas[2], areas[3]),
            (matrix.diagonal(), matrix.sum(0), matrix.sum(1)),
            strict=True,
        ):
            difference = max(difference, int((area.long() - expected).abs().max()))
    medians = {name: {'seconds': float(np.median(values))} for name, values in seconds.items()}
    against = 'mmseg IoUMetric.intersect_and_union, one label map'
    return _compared(medians['ours'], medians['other'], difference, against)


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


def compare_hand(count: int, repeats: int = 3) -> dict[str, Any]:
    """Scoring of arrays in memory: the best of three against the plain loop."""
    arrays = make_hands(count)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = evaluate_hand(*arrays)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    expected = loop_over_hands(*arrays)
    other = {'seconds': time.perf_counter() - start}
    difference = max(abs(found[name] - value) for name, value in expected.items())
    return _compared({'seconds': min(seconds)}, other, difference, 'a loop over the samples')


def table(results: dict[str, Any]) -> str:
    """The comparisons as text."""
    lines = [f'{"":10}{"ours":>12}{"other":>12}{"faster":>9}{"difference":>12}  against']
    for name in ('boxes', 'masks', 'paste', 'semantic', 'hand'):
        row = results[name]
        seconds = f'{row["ours"]["seconds"]:10.4f} s{row["other"]["seconds"]:10.4f} s'
        lines.append(
            f'{name:10}{seconds}{row["speedup"]:8.1f}x{row["largest_difference"]:12.2g}'
            f'  {row["against"]}'
        )
        if 'peak_mb' in row['ours']:
            costs = [f'{row[side]["over_mb"]:9.0f} MB' for side in ('ours', 'other')]
            lines.append(f'{"":10}{"".join(costs)}  memory over the inputs')
            alone = (
                f'{row["over_hotcoco"]:.2f} times hotcoco alone, {row["hotcoco"]["seconds"]:.4f} s'
            )
            parts = [f'{part} {seconds:.2f} s' for part, seconds in row['parts'].items()]
            lines.append(f'{"":10}{alone}; then {", ".join(parts)}')
    return '\n'.join(lines)
