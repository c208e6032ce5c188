"""COCO's panoptic files, and the segment ids in the colours of their PNGs.

`rgb2id` and `id2rgb` are what mmdet needs of the package `panopticapi`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoints.files import read_json
from ...errors import DataError, MissingFileError
from ...limits import JSON_BYTES


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
    if not all('segments_info' in entry for entry in content['annotations']):
        raise DataError(f'annotation file {ann_file}: expected "segments_info" in annotations')
    if not Path(folder).is_dir():
        raise MissingFileError(f'seg_prefix: no folder of panoptic PNGs at {folder}')
    return content
