"""Segment ids in the colours of panoptic PNGs: what mmdet needs of the package `panopticapi`."""

import numpy as np


def rgb2id(color: np.ndarray) -> np.ndarray:
    """Segment ids (H, W) of colours (H, W, 3): red + 256 green + 65536 blue."""
    return np.asarray(color).astype(np.int32) @ np.array([1, 256, 65536], np.int32)


def id2rgb(ids: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) uint8 of segment ids (H, W)."""
    return np.stack([np.asarray(ids) >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
