"""An annotated folder as COCO annotation files."""

import json
from collections.abc import Callable
from typing import Any

from pycocotools import mask as coco_mask

from .formats.records import Found, Object, Picture, rectangle, ring_area
from .formats.rle import compressed


def coco_json(found: Found, split: str, name_of: Callable[[Picture], str], masks: bool) -> bytes:
    """The annotation file of a split.

    Args:
        found: The folder, with splits.
        split: Of `SPLITS`.
        name_of: Gives the `file_name` of a picture.
        masks: Whether every object must have a mask: those that were drawn as boxes get that of
            the whole box; without, they have none.

    Returns:
        JSON, UTF-8. Corners are written as they were read; ids count from 1.
    """
    ids = {name: k for k, name in enumerate(found.classes, 1)}
    images: list[dict] = []
    annotations: list[dict] = []
    for picture in found.of(split):
        height, width = picture.size
        image_id = len(images) + 1
        images.append(
            {'id': image_id, 'file_name': name_of(picture), 'height': height, 'width': width}
        )
        for entry in picture.objects:
            annotations.append(
                {
                    **entry.extra,
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': ids[entry.label],
                    **_shape(entry, masks),
                }
            )
    content = {
        'info': {'description': f'{found.root.resolve().name}, {found.kind}, {split}'},
        'images': images,
        'annotations': annotations,
        'categories': [{'id': k, 'name': name} for name, k in ids.items()],
    }
    return json.dumps(content).encode()


def _shape(entry: Object, masks: bool) -> dict[str, Any]:
    x0, y0, x1, y1 = entry.box
    mask: Any = entry.rle if entry.rle is not None else entry.rings
    if masks and not mask:
        mask = [rectangle(*entry.box)]
    shape = {
        'bbox': [x0, y0, x1 - x0, y1 - y0],
        'segmentation': mask,
        'area': entry.area if entry.area is not None else area_of(entry),
        'iscrowd': int(entry.crowd),
    }
    return {**shape, 'ignore': 1} if entry.ignore else shape


def area_of(entry: Object) -> float:
    """Area of an object in pixels: of its mask, its polygons, or its box."""
    if entry.rle is not None:
        return float(coco_mask.area(compressed(entry.rle)))
    if entry.rings:
        return sum(map(ring_area, entry.rings))
    x0, y0, x1, y1 = entry.box
    return (x1 - x0) * (y1 - y0)
