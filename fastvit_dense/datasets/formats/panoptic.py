"""COCO's panoptic files, and the segment ids in the colours of their PNGs.

`rgb2id` and `id2rgb` are what mmdet needs of the package `panopticapi`.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoints.files import read_json
from ...errors import DataError, MissingFileError
from ...limits import JSON_BYTES
from ..values import is_integer


def rgb2id(color: np.ndarray) -> np.ndarray:
    """Segment ids (H, W) of colours (H, W, 3): red + 256 green + 65536 blue."""
    return np.asarray(color).astype(np.int32) @ np.array([1, 256, 65536], np.int32)


def id2rgb(ids: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) uint8 of segment ids (H, W)."""
    return np.stack([np.asarray(ids) >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)


def read_panoptic(ann_file: str, folder: str) -> dict[str, Any]:
    """Content of a panoptic annotation file whose PNGs lie in a folder."""
    try:
        content = read_json(Path(ann_file), JSON_BYTES)
    except FileNotFoundError:
        raise MissingFileError(f'no annotation file at {ann_file}') from None
    except ValueError as error:
        raise DataError(f'annotation file {ann_file}: {error}') from None
    for field in ('images', 'annotations', 'categories'):
        if not isinstance(content, dict) or not isinstance(content.get(field), list):
            raise DataError(f'annotation file {ann_file}: expected a list {field!r}')
    fault = _truth_fault(content)
    if fault:
        raise DataError(f'annotation file {ann_file}: {fault}')
    if not Path(folder).is_dir():
        raise MissingFileError(f'seg_prefix: no folder of panoptic PNGs at {folder}')
    return content


def _truth_fault(content: dict[str, list]) -> str | None:
    for place, category in enumerate(content['categories']):
        where = f'categories[{place}]'
        if not isinstance(category, dict) or not is_integer(category.get('id')):
            return f'{where}: expected an object with a whole number "id", found {category!r:.60}'
        if not isinstance(category.get('name'), str):
            return f'{where}.name: expected a text, found {category.get("name")!r:.40}'
        if category.get('isthing') not in (0, 1):
            found = f'{category.get("isthing")!r:.40}'
            return f'{where}.isthing: expected 1 (a thing) or 0 (stuff), found {found}'
    for place, image in enumerate(content['images']):
        if not isinstance(image, dict) or not is_integer(image.get('id')):
            return (
                f'images[{place}]: expected an object with a whole number "id", found {image!r:.60}'
            )
    images = {image['id'] for image in content['images']} or None
    return entries_fault(
        content['annotations'], {category['id'] for category in content['categories']}, images
    )


def entries_fault(
    entries: list, categories: Collection[int], images: Collection[int] | None
) -> str | None:
    """Tell which field keeps the annotations of a panoptic file from being used.

    Args:
        entries: `annotations` of the file, one for each picture.
        categories: Ids that segments may have.
        images: Ids that pictures may have; None: any.
    """
    seen = set()
    for place, entry in enumerate(entries):
        where = f'annotations[{place}]'
        if not isinstance(entry, dict):
            return f'{where}: expected an object, found {entry!r:.40}'
        segments = entry.get('segments_info')
        if not isinstance(segments, list):
            return (
                f'{where}.segments_info: expected a list, which panoptic files have and those of '
                f'instances have not, found {segments!r:.40}'
            )
        image, name = entry.get('image_id'), entry.get('file_name')
        if not is_integer(image):
            return f'{where}.image_id: expected a whole number, found {image!r:.40}'
        if images is not None and image not in images:
            return f'{where}.image_id: expected that of a picture of the truth, found {image}'
        if image in seen:
            return f'{where}.image_id: expected one entry for each picture, found {image} again'
        seen.add(image)
        if not isinstance(name, str) or not name:
            return f'{where}.file_name: expected the name of a PNG, found {name!r:.40}'
        for number, segment in enumerate(segments):
            if fault := _segment_fault(segment, categories):
                return f'{where}.segments_info[{number}]{fault}'
    return None


def _segment_fault(segment: Any, categories: Collection[int]) -> str | None:
    if not isinstance(segment, dict):
        return f': expected an object, found {segment!r:.40}'
    if not is_integer(segment.get('id')) or segment['id'] < 0:
        return f'.id: expected a whole number, found {segment.get("id")!r:.40}'
    category = segment.get('category_id')
    if not is_integer(category) or category not in categories:
        return f'.category_id: expected one of the {len(categories)} there, found {category!r:.40}'
    return None
