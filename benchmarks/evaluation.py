"""Speed and memory of the metrics against what people use instead, on made-up predictions.

Every pair runs on the same data, one after the other, and must agree.
"""

import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fastvit_dense.evaluation.semantic import count_pixels

from . import evaluation_former
from .comparing import compared, measured
from .evaluation_bootstrap import time_bootstrap
from .evaluation_coco import compare_coco
from .evaluation_hand import compare_hand
from .machine import describe_machine


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
        seconds of what follows the numbers up to the written report; `semantic` and `hand` with
        `former`, our code as it was before, and `over_former`, how many times faster ours is.
        `bootstrap` are the intervals', see `time_bootstrap`. `seconds` are wall time;
        `peak_mb` is the most memory of a process that did only this and `over_mb` how much of
        it came on top of the inputs. All but the intervals run on one thread.
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
    results['bootstrap'] = time_bootstrap(sizes.images, sizes.detections, sizes.hands)
    return results


def compare_paste(size: tuple[int, int], detections: int = 100) -> dict[str, Any]:
    """Masks of one image pasted and encoded: ours against mmdet's mask head and encoding."""
    found, ours = measured(_inputs_of_paste, _paste, True, size, detections)
    expected, other = measured(_inputs_of_paste, _paste, False, size, detections)
    differing = sum(a != b for a, b in zip(found, expected, strict=True))
    return compared(ours, other, float(differing), 'mmdet FCNMaskHead and encode_mask_results')


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
    seconds: dict[str, list[float]] = {'ours': [], 'other': [], 'former': []}
    difference = 0
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
        before = evaluation_former.count_pixels(predicted, truth, classes)
        last = time.perf_counter()
        if index:  # the first of each is not counted
            seconds['ours'].append(middle - start)
            seconds['other'].append(end - middle)
            seconds['former'].append(last - end)
        difference = max(difference, int((matrix - before).abs().max()))
        for area, expected in zip(
            (areas[0], areas[2], areas[3]),
            (matrix.diagonal(), matrix.sum(0), matrix.sum(1)),
            strict=True,
        ):
            difference = max(difference, int((area.long() - expected).abs().max()))
    medians = {name: {'seconds': float(np.median(values))} for name, values in seconds.items()}
    against = 'mmseg IoUMetric.intersect_and_union, one label map'
    return compared(medians['ours'], medians['other'], difference, against, medians['former'])


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
        if 'parts' in row:
            alone = (
                f'{row["over_hotcoco"]:.2f} times hotcoco alone, {row["hotcoco"]["seconds"]:.4f} s'
            )
            parts = [f'{part} {seconds:.2f} s' for part, seconds in row['parts'].items()]
            lines.append(f'{"":10}{alone}; then {", ".join(parts)}')
        if 'former' in row:
            lines.append(
                f'{"":10}{row["over_former"]:.1f} times faster than before, '
                f'{row["former"]["seconds"]:.4f} s'
            )
    drawn = results['bootstrap']
    seconds = [f'{k} {row["seconds"]:.1f} s' for k, row in drawn.items() if isinstance(row, dict)]
    lines.append(
        f'{drawn["resamples"]} resamples on {drawn["threads"]} threads: {", ".join(seconds)}'
    )
    return '\n'.join(lines)
