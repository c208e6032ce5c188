"""Hints at predicted boxes that are written in another way than they are scored.

COCO's scores take boxes and scores as they are. What looks like corners, shares of the picture,
percent or a file that was joined to itself is told beside the scores, which stay what they are.
"""

import logging
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from pycocotools.coco import COCO

MANY = 0.1  # share of the boxes from which on they are told
MOST_OUTSIDE = 0.5  # of a box


def tell_hints(path: Path, samples: list[dict], truth: COCO) -> None:
    """Warn of what `hints_at` finds in the predictions of a file."""
    for hint in hints_at(samples, truth):
        told = f'{path}: {hint} (the scores are those of the numbers as they are)'
        print_log(told, 'current', logging.WARNING)


def hints_at(samples: list[dict], truth: COCO) -> list[str]:
    """Tell what predictions seem to be that should be pixels, widths and shares.

    Args:
        samples: Compact samples of `InstanceMetric`.
        truth: The ground truth, with the sizes of the pictures.

    Returns:
        Sentences; none where all looks well.
    """
    boxes = np.concatenate([np.zeros((0, 4)), *(sample['boxes'] for sample in samples)])
    scores = np.concatenate([np.zeros(0), *(sample['scores'] for sample in samples)])
    if not len(boxes):
        return []
    hints = []
    odd = (scores < 0) | (scores > 1)
    if odd.any():
        hints.append(
            f'{odd.sum()} of {len(scores)} scores are not within 0 and 1 (such as '
            f'{scores[odd][0]:.4g}): their order counts, but calibration and thresholds in the '
            'report take them for shares'
        )
    if (boxes[:, 2:].max(1) <= 1).mean() > 1 - MANY:
        hints.append('boxes are no wider than one pixel: are these shares of the picture?')
    elif (outside := _outside(boxes, samples, truth)) >= MANY * len(boxes):
        hints.append(
            f'{outside} of {len(boxes)} boxes lie outside of their picture by more than half: a '
            'bbox is x, y, width, height; are these x, y, right, bottom?'
        )
    if doubled := _doubled(boxes, scores, samples):
        hints.append(
            f'{doubled} of {len(boxes)} predictions stand there twice and count as false: is the '
            'file joined from parts that overlap?'
        )
    return hints


def _outside(boxes: np.ndarray, samples: list[dict], truth: COCO) -> int:
    """Number of boxes of which more than half lies outside of their picture."""
    images = [truth.imgs[sample['id']] for sample in samples]
    sizes = [(image.get('width', np.nan), image.get('height', np.nan)) for image in images]
    limits = np.repeat(np.array(sizes, float), [len(sample['boxes']) for sample in samples], 0)
    with np.errstate(over='ignore', invalid='ignore'):  # of numbers that no box has
        ends = np.minimum((boxes[:, :2] + boxes[:, 2:]).clip(0), limits)
        shared = (ends - boxes[:, :2].clip(0)).clip(0).prod(1)
        areas = boxes[:, 2:].prod(1)
        outside = (areas > 0) & ~(shared >= (1 - MOST_OUTSIDE) * areas)
    return int((outside & ~np.isnan(limits).any(1)).sum())


def _doubled(boxes: np.ndarray, scores: np.ndarray, samples: list[dict]) -> int:
    """Number of predictions that are the same as one before, in the same picture."""
    pictures = np.repeat(np.arange(len(samples)), [len(sample['boxes']) for sample in samples])
    labels = np.concatenate([sample['labels'] for sample in samples])
    rows = np.column_stack([pictures, labels, scores, boxes])
    return len(rows) - len(set(rows.view(f'V{rows[0].nbytes}').ravel().tolist()))
