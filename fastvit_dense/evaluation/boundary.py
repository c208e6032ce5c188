"""Boundary AP (Cheng et al., CVPR 2021): pycocotools on the overlaps of masks and boundaries.

hotcoco has no such overlap.
"""

import contextlib
import io
from collections.abc import Sequence

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .coco import indexed
from .coco_matches import AREAS, RECALLS, Evaluation, Matches, with_half
from .coco_matching import batches
from .masks import encode_part

WIDTH = 0.02  # of a boundary, by the image's diagonal


def evaluate_boundaries(
    truth: COCO,
    samples: Sequence[dict],
    category_ids: Sequence[int],
    limits: list[int],
    thresholds: np.ndarray,
) -> Evaluation:
    """Match and accumulate all images by the lesser of mask IoU and boundary IoU.

    Arguments are those of `coco_matching.evaluate`.
    """
    images: list[dict] = []
    objects: list[dict] = []
    found: list[dict] = []
    for batch in batches(truth, samples, 'segm', category_ids):
        images += batch.images
        objects += [o | {'id': len(objects) + k} for k, o in enumerate(batch.objects, start=1)]
        for row, mask in zip(batch.detections, batch.masks or (), strict=True):
            entry: dict = {
                'id': len(found) + 1,
                'image_id': int(row[0]),
                'category_id': int(row[6]),
            }
            entry |= {'segmentation': mask, 'area': row[3], 'score': row[5], 'iscrowd': 0}
            found.append(entry)
    categories = [{'id': k} for k in range(len(category_ids))]
    true, predicted = (
        indexed({'images': images, 'categories': categories, 'annotations': annotations})
        for annotations in (objects, found)
    )
    evaluator = BoundaryEval(true, predicted, 'segm')
    evaluator.params.iouThrs = with_half(thresholds)
    evaluator.params.recThrs = RECALLS
    evaluator.params.maxDets = limits
    evaluator.params.areaRng = [list(bounds) for bounds in AREAS.values()]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    return Evaluation(
        evaluator.eval['precision'][: len(thresholds)],
        evaluator.eval['recall'][: len(thresholds)],
        thresholds,
        limits,
        evaluator.matches,
        with_half(thresholds),
    )


class BoundaryEval(COCOeval):
    """pycocotools' evaluation of masks with the lesser of two overlaps; crowds have one."""

    def computeIoU(self, imgId: int, catId: int) -> np.ndarray | list:
        """Overlaps of an image's detections of a category, by falling score, and its objects."""
        ious = super().computeIoU(imgId, catId)
        if not len(ious):
            return ious
        objects, found = self._gts[imgId, catId], self._dts[imgId, catId]
        order = np.argsort([-d['score'] for d in found], kind='mergesort')[: len(ious)]
        borders = coco_mask.iou(
            [boundary(found[i]['segmentation']) for i in order],
            [boundary(o['segmentation']) for o in objects],
            [0] * len(objects),
        )
        crowd = np.array([bool(o['iscrowd']) for o in objects])
        return np.where(crowd, ious, np.minimum(ious, borders))

    def matches(self) -> Matches:
        """Matches of the detections, all sizes of objects together."""
        count = len(self.params.imgIds)
        starts = range(0, len(self.evalImgs), count * len(self.params.areaRng))
        cells = [cell for start in starts for cell in self.evalImgs[start : start + count] if cell]
        kinds = [
            np.concatenate([cell[key] for cell in cells], axis=1).astype(bool)
            if cells
            else np.zeros((len(self.params.iouThrs), 0), dtype=bool)
            for key in ('dtMatches', 'dtIgnore')
        ]
        return Matches(
            np.array([cell['image_id'] for cell in cells], dtype=np.int64),
            np.array([cell['category_id'] for cell in cells], dtype=np.int64),
            np.cumsum([0, *(len(cell['dtScores']) for cell in cells)]),
            np.array([int((~cell['gtIgnore'].astype(bool)).sum()) for cell in cells], np.int64),
            np.array([score for cell in cells for score in cell['dtScores']]),
            *kinds,
        )


def boundary(code: dict) -> dict:
    """The pixels of a mask nearer to its edge than `WIDTH` of the image's diagonal.

    Args:
        code: Run-length code.

    Returns:
        Run-length code. The border of the image is an edge, too; distances are those of squares.
    """
    height, width = code['size']
    distance = max(1, round(WIDTH * float(np.hypot(height, width))))
    left, top, columns, rows = (int(n) for n in coco_mask.toBbox(code))
    part = coco_mask.decode(code)[top : top + rows, left : left + columns]
    if not part.size:
        return code
    padded = cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    return encode_part(part > inner, (left, top), (height, width))
