"""TIDE's six kinds of detection errors (Bolya et al., ECCV 2020), of boxes and masks.

Overlaps are hotcoco's. Its own `tide_errors` gives the same numbers where no object is a crowd; it
takes crowds for objects that a detection could have found, and needs all images in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hotcoco import mask as hotcoco_mask
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from .coco_matches import RECALLS
from .coco_matching import Batch, batches
from .diagnosis import Breakdown, Doubt, Part

POSITIVE, BACKGROUND = 0.5, 0.1  # IoU from which a detection is right, and up to which it is none
CONFIDENT = 0.5
CLASS, LOCATION, BOTH, DUPLICATE, GROUND, HIT, IGNORED = range(7)
MEANINGS = {
    'wrong class': 'lies well on an object of another class',
    'poor overlap': 'right class, but an IoU of 0.1 to 0.5 only',
    'class and overlap': 'another class, and an IoU of 0.1 to 0.5 only',
    'duplicate': 'of an object that a higher score has found already',
    'background': 'an IoU of 0.1 at most with every object',
    'missed': 'object that no detection found, nor would have but for class or overlap',
}


@dataclass
class Judged:
    """Detections by falling score within each image, and objects, of some images.

    Args:
        images: (D,) number of the image of each detection.
        classes: (D,) number of its category.
        scores: (D,).
        boxes: (D, 4) x, y, width, height.
        kinds: (D,) `CLASS`, `LOCATION`, ..., `HIT` or `IGNORED`.
        targets: (D,) object that it would have found, for `CLASS` and `LOCATION`; else -1.
        overlaps: (D,) IoU with it.
        in_crowd: (D,) bool, whether it lies in a crowd of any class.
        object_classes: (G,) number of the category of each object, crowds aside.
        found: (G,) bool.
    """

    images: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    kinds: np.ndarray
    targets: np.ndarray
    overlaps: np.ndarray
    in_crowd: np.ndarray
    object_classes: np.ndarray
    found: np.ndarray


def judge_detections(
    truth: COCO, samples: Sequence[dict], kind: str, category_ids: Sequence[int], limit: int
) -> Judged:
    """Find the kind of error of every detection; arguments as of `coco_matching.evaluate`."""
    parts = [
        image
        for batch in batches(truth, samples, kind, category_ids)
        for image in _judge_batch(batch, limit)
    ]
    joined = {}
    for name in Judged.__dataclass_fields__:
        arrays = [getattr(part, name) for part in parts]
        if name == 'targets':
            starts = np.cumsum([0, *(len(part.found) for part in parts)])
            arrays = [
                np.where(a >= 0, a + start, -1) for a, start in zip(arrays, starts, strict=False)
            ]
        joined[name] = np.concatenate(arrays)
    return Judged(**joined)


def _judge_batch(batch: Batch, limit: int) -> Iterator[Judged]:
    objects: dict[int, list[dict]] = {image['id']: [] for image in batch.images}
    for entry in batch.objects:
        objects[entry['image_id']].append(entry)
    image_of = batch.detections[:, 0].astype(np.int64)
    for image in batch.images:
        rows = np.flatnonzero(image_of == image['id'])
        rows = rows[np.argsort(-batch.detections[rows, 5], kind='stable')]
        rows = rows[_rank_in_class(batch.detections[rows, 6]) < limit]
        detections = batch.detections[rows]
        there = objects[image['id']]
        crowd = np.array([bool(entry['iscrowd']) for entry in there], dtype=bool)
        boxes: np.ndarray = detections[:, 1:5]
        if batch.masks is None:
            found: Any = boxes
            true: Any = np.array([entry['bbox'] for entry in there], np.float64).reshape(-1, 4)
        else:
            found = [batch.masks[row] for row in rows]
            boxes = hotcoco_mask.to_bbox(found) if found else np.zeros((0, 4))
            size = image['height'], image['width']
            true = [as_code(entry['segmentation'], *size) for entry in there]
        overlaps: np.ndarray = np.zeros((len(rows), len(there)))
        if overlaps.size:
            overlaps = hotcoco_mask.iou(found, true, crowd.tolist())
        labels = np.array([entry['category_id'] for entry in there], dtype=np.int64)
        classes = detections[:, 6].astype(np.int64)
        judged = judge_image(overlaps, classes, labels, crowd)
        yield Judged(image_of[rows], classes, detections[:, 5], boxes, *judged)


def as_code(segmentation: Any, height: int, width: int) -> dict:
    """One run-length code of polygons, or of run lengths that are compressed or not."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation['counts'], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation


def _rank_in_class(classes: np.ndarray) -> np.ndarray:
    """Place of each detection among those of its class."""
    order = np.argsort(classes, kind='stable')
    firsts = np.searchsorted(classes[order], classes[order])
    ranks = np.empty(len(classes), dtype=np.int64)
    ranks[order] = np.arange(len(classes)) - firsts
    return ranks


def judge_image(
    overlaps: np.ndarray, classes: np.ndarray, labels: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Judge the detections of one image.

    Args:
        overlaps: (D, G) IoU, of crowds the share of the detection.
        classes: (D,) of the detections, by falling score.
        labels: (G,) of the objects.
        crowd: (G,) bool.

    Returns:
        `kinds`, `targets`, `overlaps`, `in_crowd`, `object_classes` and `found` of `Judged`.
    """
    same = classes[:, None] == labels
    in_crowd = overlaps[:, crowd] >= POSITIVE
    ignorable = (in_crowd & same[:, crowd]).any(axis=1)
    overlaps, same, labels = overlaps[:, ~crowd], same[:, ~crowd], labels[~crowd]
    kinds = np.full(len(classes), GROUND)
    targets: np.ndarray = np.full(len(classes), -1)
    reached: np.ndarray = np.zeros(len(classes))
    found = np.zeros(len(labels), dtype=bool)
    if overlaps.size:
        own, other = np.where(same, overlaps, 0), np.where(same, 0, overlaps)
        own_best, other_best = own.max(axis=1), other.max(axis=1)
        kinds[np.maximum(own_best, other_best) > BACKGROUND] = BOTH
        kinds[own_best >= POSITIVE] = DUPLICATE
        kinds[other_best >= POSITIVE] = CLASS
        kinds[(own_best >= BACKGROUND) & (own_best < POSITIVE)] = LOCATION
        free = own.copy()
        for row in np.flatnonzero(own_best >= POSITIVE):
            column = int(free[row].argmax())
            if free[row, column] >= POSITIVE:
                kinds[row], found[column] = HIT, True
                free[:, column] = 0
        for kind, table, best in ((CLASS, other, other_best), (LOCATION, own, own_best)):
            targets = np.where(kinds == kind, table.argmax(axis=1), targets)
            reached = np.where(kinds == kind, best, reached)
    kinds[ignorable & (kinds != HIT)] = IGNORED
    targets[kinds == IGNORED] = -1
    return kinds, targets, reached, np.asarray(in_crowd.any(axis=1)), labels, found


def costs(judged: Judged, categories: int) -> dict[str, tuple[float, int]]:
    """AP at IoU 0.5 that mending each kind alone would bring, and how many there are.

    Mended is: a wrong class or a poor overlap put right, where the object was not found and no
    higher score would find it, else taken out; other wrong detections taken out; missed objects
    taken out of the truth. What mending would cost counts as 0.

    Args:
        judged: Of all images.
        categories: Number of categories.

    Returns:
        By the names of `MEANINGS`, and `AP50` as it is.
    """
    counted = judged.kinds != IGNORED
    classes, scores = judged.classes[counted], judged.scores[counted]
    kinds, targets = judged.kinds[counted], judged.targets[counted]
    objects = np.bincount(judged.object_classes, minlength=categories)
    scored = objects > 0

    def precision(classes: np.ndarray, hits: np.ndarray, keep: Any, objects: np.ndarray) -> float:
        values = average_precisions(classes[keep], scores[keep], hits[keep], objects)
        return float(values[scored].mean()) if scored.any() else 0.0

    hits, everything = kinds == HIT, np.ones(len(kinds), dtype=bool)
    base = precision(classes, hits, everything, objects)
    mendable = np.flatnonzero(targets >= 0)
    mendable = mendable[~judged.found[targets[mendable]]]
    by_score = mendable[np.argsort(-scores[mendable], kind='stable')]
    reachable, first = np.unique(targets[by_score], return_index=True)
    best = np.zeros(len(kinds), dtype=bool)
    best[by_score[first]] = True

    found: dict[str, tuple[float, int]] = {'AP50': (base, int(hits.sum()))}
    for kind, name in enumerate(MEANINGS):
        wrong = kinds == kind
        if kind in (CLASS, LOCATION):
            chosen, mended = wrong & best, classes.copy()
            mended[chosen] = judged.object_classes[targets[chosen]]
            value = precision(mended, hits | chosen, ~wrong | best, objects)
            count = int(wrong.sum())
        elif name != 'missed':
            value, count = precision(classes, hits, ~wrong, objects), int(wrong.sum())
        else:
            lost = ~judged.found
            lost[reachable] = False
            fewer = objects - np.bincount(judged.object_classes[lost], minlength=categories)
            value, count = precision(classes, hits, everything, fewer), int(lost.sum())
        found[name] = max(value - base, 0.0), count
    return found


def average_precisions(
    classes: np.ndarray, scores: np.ndarray, hits: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """AP (K,) of detections (D,), 0 for classes without objects (K,)."""
    order = np.lexsort((-scores, classes))
    classes, hits = classes[order], hits[order]
    bounds = np.searchsorted(classes, np.arange(len(objects) + 1))
    values = np.zeros(len(objects))
    for k in np.flatnonzero(objects):
        correct = np.cumsum(hits[bounds[k] : bounds[k + 1]])
        if not len(correct):
            continue
        precision = correct / np.arange(1, len(correct) + 1)
        precision = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
        values[k] = precision[np.searchsorted(correct / objects[k], RECALLS)].mean()
    return values


def breakdown(judged: Judged, categories: int, what: str) -> Breakdown:
    """TIDE's costs of the errors of boxes or masks, the dearest first."""
    found = costs(judged, categories)
    parts = [Part(name, *found[name], meaning) for name, meaning in MEANINGS.items()]
    return Breakdown(
        f'What {what} AP loses',
        'AP50',
        f'AP at IoU 0.5, {found["AP50"][0]:.3f} now, would rise so far if one kind of error alone '
        'were mended (TIDE; the rises do not add up).',
        sorted(parts, key=lambda part: -part.value),
    )


def doubts(judged: Judged, truth: COCO, category_ids: Sequence[int]) -> Iterator[Doubt]:
    """Objects that the truth seems to lack or to call wrong, by confident detections.

    A detection of at least `CONFIDENT` that lies on nothing, crowds included; or on an object of
    another class that no detection of its own class found.
    """
    names = [truth.cats[category]['name'] for category in sorted(category_ids)]
    image_ids = sorted(truth.imgs)
    free = np.ones(len(judged.kinds), dtype=bool)
    with_target = judged.targets >= 0
    free[with_target] = ~judged.found[judged.targets[with_target]]
    lacking = (judged.kinds == GROUND) & ~judged.in_crowd
    wrong = (judged.kinds == CLASS) & free
    for i in np.flatnonzero((judged.scores >= CONFIDENT) & (lacking | wrong)).tolist():
        score, image = float(judged.scores[i]), image_ids[judged.images[i]]
        what = f'{names[judged.classes[i]]}, {score:.2f}, where the truth has nothing'
        if wrong[i]:
            true = names[judged.object_classes[judged.targets[i]]]
            what = (
                f'the truth says {true}, the prediction {names[judged.classes[i]]}, {score:.2f}, '
                f'IoU {judged.overlaps[i]:.2f}'
            )
        x, y, width, height = (float(v) for v in judged.boxes[i])
        name = truth.imgs[image].get('file_name', str(image))
        yield Doubt(image, name, what, score, (x, y, width, height))
