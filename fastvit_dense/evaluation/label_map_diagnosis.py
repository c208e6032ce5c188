"""Causes of lost mIoU, and doubts about the truth."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .diagnosis import Breakdown, Diagnosis, Doubt, Part
from .label_map_errors import KINDS, PAIR, Examined

SHOWN_PAIRS = 5


def boundary_ious(edges: Sequence[np.ndarray], num_classes: int) -> np.ndarray:
    """Boundary IoU (Cheng et al., CVPR 2021) of each class (C,), 0-1; NaN where there is none.

    Args:
        edges: Of each image what `count_edges` gives.
        num_classes: Number of classes C.
    """
    sums = np.zeros((3, num_classes), dtype=np.int64)
    for classes, *counts in edges:
        sums[:, classes] += counts
    hits, truth, predicted = sums
    union = truth + predicted - hits
    return np.divide(hits, union, out=np.full(num_classes, np.nan), where=union > 0)


def diagnose_label_maps(
    examined: Sequence[Examined], ids: Sequence[Any], matrix: np.ndarray, classes: Sequence[str]
) -> Diagnosis:
    """Sum up what was found in all images."""
    kinds = np.zeros((3, matrix.size), dtype=np.int64)
    doubts = []
    for image, key in zip(examined, ids, strict=True):
        for kind, (cells, counts) in enumerate(image.kinds):
            kinds[kind, cells] += counts
        doubts += [
            Doubt(
                key,
                os.path.basename(str(key)),
                f'the truth says {classes[true]}, the prediction {classes[found]} in the same '
                f'shape, IoU {iou:.2f}',
                iou,
                box,
            )
            for true, found, iou, box in image.doubts
        ]
    lost = breakdown(kinds.reshape(3, *matrix.shape), matrix, classes)
    return Diagnosis([lost], doubts=doubts)


def breakdown(kinds: np.ndarray, matrix: np.ndarray, names: Sequence[str]) -> Breakdown:
    """Split what mIoU lacks to 100 by the kind of its wrong pixels.

    Args:
        kinds: (3, C, C) wrong pixels of each kind, rows truth.
        matrix: (C, C) all pixels.
        names: Of the classes.
    """
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
    scored = union > 0
    weights = np.zeros(len(union))
    weights[scored] = 100 / (scored.sum() * union[scored])
    # a wrong pixel is lacking in its true class and too much in the other
    price = weights[:, None] + weights
    parts = [
        Part(name, float((wrong * price).sum()), int(wrong.sum()), meaning)
        for (name, meaning), wrong in zip(KINDS.items(), kinds, strict=True)
    ]
    return Breakdown(
        'Where IoU is lost',
        'points of mIoU',
        f'The shares sum to the {sum(part.value for part in parts):.2f} points that mIoU lacks to '
        f'100 (kinds after Bernhard et al., WACV 2024). {_pairs(kinds[PAIR] * price, names)}',
        parts,
    )


def _pairs(cost: np.ndarray, names: Sequence[str]) -> str:
    """The dearest confused pairs in words, both ways together."""
    both = np.triu(cost + cost.T, 1)
    order = np.argsort(-both, axis=None, kind='stable')[:SHOWN_PAIRS]
    pairs: list[Any] = [divmod(int(i), len(both)) for i in order]
    texts = [f'{names[a]} and {names[b]} {both[a, b]:.2f}' for a, b in pairs if both[a, b] > 0]
    return f'The dearest pairs: {", ".join(texts)}.' if texts else ''
