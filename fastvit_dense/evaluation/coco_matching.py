"""COCO's matching and accumulation for boxes and masks, through hotcoco."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from hotcoco import Params, StreamingEval
from hotcoco import __version__ as hotcoco_version
from hotcoco import mask as hotcoco_mask
from pycocotools.coco import COCO

from .coco_matches import AREAS, RECALLS, Evaluation, read_state, with_half

IMAGES_AT_ONCE = 100
ENGINE = f'hotcoco {hotcoco_version}'


def evaluate(
    truth: COCO,
    samples: Sequence[dict],
    kind: str,
    category_ids: Sequence[int],
    limits: list[int],
    thresholds: np.ndarray,
    federated: bool = False,
) -> Evaluation:
    """Match and accumulate all images of the ground truth, some images at a time.

    Images and categories go by their number in the order of their ids, annotations by their place:
    so any id will do, and an annotation with the id 0 counts like all others.

    Args:
        truth: The ground truth.
        samples: Compact samples of `InstanceMetric`, one for an image; others have no detections.
        kind: `'bbox'` or `'segm'`.
        category_ids: Category id of each label.
        limits: Limits on the detections per image and category, ascending.
        thresholds: (T,) IoU thresholds.
        federated: Whether only images count that were checked for a category, as LVIS has it.
    """
    params = Params(kind)
    params.iou_thrs = with_half(thresholds).tolist()
    params.rec_thrs = RECALLS.tolist()
    params.max_dets = limits
    params.area_rng_lbl = list(AREAS)
    params.area_rng = [list(bounds) for bounds in AREAS.values()]
    categories = [{'id': k, 'name': str(k)} for k in range(len(category_ids))]
    stream = StreamingEval(categories, kind, federated, params)
    for batch in batches(truth, samples, kind, category_ids):
        stream.update(batch.images, batch.objects, batch.detections, segmentation=batch.masks)
    find_matches = partial(read_state, stream.to_bytes())
    evaluator = stream.finalize()
    evaluator.accumulate()
    found = evaluator.eval
    assert found is not None
    return Evaluation(
        found['precision'][: len(thresholds)],
        found['recall'][: len(thresholds)],
        thresholds,
        limits,
        find_matches,
        with_half(thresholds),
    )


class Batch(NamedTuple):
    """Some images, their objects as COCO's annotations, and their detections.

    Args:
        images: COCO's images.
        objects: COCO's annotations, of what is scored alone; their ids are those of this batch.
        detections: (N, 7): image, box, score, category. The box of a mask is (0, 0, area, 1):
            hotcoco takes the area of detections from their boxes.
        masks: N run-length codes; None for boxes.
    """

    images: list[dict]
    objects: list[dict]
    detections: np.ndarray
    masks: list[Any] | None


def batches(
    truth: COCO, samples: Sequence[dict], kind: str, category_ids: Sequence[int]
) -> Iterator[Batch]:
    """All images of the truth, `IMAGES_AT_ONCE` at a time; arguments are those of `evaluate`."""
    ranks = {category: k for k, category in enumerate(sorted(category_ids))}
    label_ranks = np.array([ranks[category] for category in category_ids], dtype=np.int64)
    predicted = {sample['id']: sample for sample in samples}
    image_ids = sorted(truth.imgs)
    for start in range(0, len(image_ids), IMAGES_AT_ONCE):
        batch = Batch([], [], np.empty((0, 7)), None if kind == 'bbox' else [])
        detections = [batch.detections]
        for number, image_id in enumerate(image_ids[start : start + IMAGES_AT_ONCE], start):
            image = truth.imgs[image_id]
            sizes = {'id': number, 'height': image['height'], 'width': image['width']}
            batch.images.append(sizes | _checked_for(image, ranks))
            for annotation in truth.imgToAnns[image_id]:
                if annotation['category_id'] in ranks:
                    rank = ranks[annotation['category_id']]
                    batch.objects.append(
                        _object(annotation, len(batch.objects) + 1, number, rank, kind)
                    )
            sample = predicted.get(image_id)
            if sample is None:
                continue
            if batch.masks is None:
                detections.append(_boxes(sample, number, label_ranks))
            else:
                codes = [{'size': sample.get('size'), 'counts': c} for c in sample['masks']]
                detections.append(_masks(sample, codes, number, label_ranks))
                batch.masks.extend(codes)
        yield batch._replace(detections=np.concatenate(detections))


def _checked_for(image: dict, ranks: dict[int, int]) -> dict[str, list[int]]:
    """Take over what LVIS tells of the categories of an image; nothing of others."""
    return {
        name: [ranks[category] for category in image[name] if category in ranks]
        for name in ('neg_category_ids', 'not_exhaustive_category_ids')
        if name in image
    }


def _object(annotation: dict, number: int, image: int, category: int, kind: str) -> dict[str, Any]:
    shape = 'bbox' if kind == 'bbox' else 'segmentation'
    return {
        'id': number,
        'image_id': image,
        'category_id': category,
        'iscrowd': annotation.get('iscrowd', 0),
        'area': annotation['area'],
        shape: annotation[shape],
    }


def _boxes(sample: dict, image: int, label_ranks: np.ndarray) -> np.ndarray:
    rows = np.empty((len(sample['labels']), 7))
    rows[:, 0], rows[:, 6] = image, label_ranks[sample['labels']]
    rows[:, 1:5], rows[:, 5] = sample['boxes'], sample['scores']
    return rows


def _masks(sample: dict, codes: list[dict], image: int, label_ranks: np.ndarray) -> np.ndarray:
    rows = np.empty((len(codes), 7))
    rows[:, 0], rows[:, 6] = image, label_ranks[sample['labels']]
    rows[:, 1:5] = 0, 0, 0, 1
    if codes:
        rows[:, 3] = hotcoco_mask.area(codes)
    rows[:, 5] = sample.get('mask_scores', sample['scores'])
    return rows
