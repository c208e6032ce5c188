"""Pictures of instance segmentation: saved boxes and masks beside those of the annotation file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import ConfigDict
from PIL import Image
from pycocotools import mask as coco_mask

from ..datasets.check.coco_rules import mask_problem
from ..datasets.formats.rle import compressed
from ..errors import DataError
from ..evaluation.coco import load_annotations
from ..evaluation.predictions import coco_entries
from ..results.instance import InstanceResult
from ..visualization.instance import draw_instances
from ..visualization.layout import read_picture, side_by_side
from .base import Pictures


def draw_saved_instances(
    ann_file: str, dataset: ConfigDict, ids: Iterable[Any], predictions: Path
) -> Pictures:
    """Yield title and picture of images, the prediction beside the truth; see `Task.draw`.

    Args:
        ann_file: In COCO's format.
        dataset: Config of the test dataset.
        ids: Of images of the annotation file.
        predictions: As for `Task.draw`.
    """
    truth = load_annotations(ann_file)
    categories = sorted(truth.cats)
    by_image: dict[int, list[dict]] = {}
    for entry in coco_entries(predictions, truth, categories):
        by_image.setdefault(entry['image_id'], []).append(entry)
    names = [truth.cats[c]['name'] for c in categories]
    place = {category: i for i, category in enumerate(categories)}
    folder = Path(dataset.get('data_root') or '', dataset.data_prefix.get('img') or '')
    for image_id in ids:
        info = truth.imgs[image_id]
        name = info.get('file_name')
        if not isinstance(name, str):
            raise DataError(
                f'annotation file {ann_file}: image {image_id}: expected a text "file_name", '
                f'found {name!r}'
            )
        image = read_picture(folder / name)
        lowest = InstanceResult.score_threshold
        found = [e for e in by_image.get(image_id, []) if e['score'] >= lowest]
        annotations = truth.imgToAnns.get(image_id, [])
        found_codes = [compressed(e['segmentation']) for e in found if 'segmentation' in e]
        true_codes = [truth.annToRLE(a) for a in annotations if _has_mask(a, info)]
        scores = np.array([e['score'] for e in found])
        pictures = {
            'prediction': _drawn(image, found, found_codes, names, place, scores),
            'ground truth': _drawn(image, annotations, true_codes, names, place),
        }
        yield name, side_by_side(pictures)


def _drawn(
    image: np.ndarray,
    entries: Sequence[dict],
    codes: Sequence[dict],
    names: Sequence[str],
    place: Mapping[int, int],
    scores: np.ndarray | None = None,
) -> Image.Image:
    """Draw entries of a COCO file, and their masks where all of them have one."""
    boxes = np.array([_corners(e) for e in entries], dtype=np.float64).reshape(-1, 4)
    labels = np.array([place[e['category_id']] for e in entries], dtype=np.int64)
    masks = None
    if entries and len(codes) == len(entries):
        masks = coco_mask.decode(codes).transpose(2, 0, 1).astype(bool)
    return draw_instances(image, boxes, labels, names, masks, scores)


def _has_mask(annotation: dict, info: dict) -> bool:
    """Tell whether it can be drawn; where boxes alone are scored, masks were not checked."""
    return mask_problem(annotation.get('segmentation'), (info['height'], info['width'])) is None


def _corners(entry: dict) -> list[float]:
    x, y, width, height = (
        entry['bbox'] if 'bbox' in entry else coco_mask.toBbox(compressed(entry['segmentation']))
    )
    return [x, y, x + width, y + height]
