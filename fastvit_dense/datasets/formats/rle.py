"""COCO's run-length codes: what makes one sound, and the box that it fills."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..values import is_integer


def rle_problem(rle: Any, size: tuple[int, int]) -> str | None:
    """Tell in words what keeps a value from being the run-length code of a picture.

    Args:
        rle: `{'size': [height, width], 'counts': text, bytes or a list of run lengths}`.
        size: Height and width of the picture.
    """
    if not isinstance(rle, dict):
        return f': expected a run-length code, found {type(rle).__name__}'
    expected, found = list(size), rle.get('size')
    if not isinstance(found, list | tuple) or list(found) != expected:
        return f'.size: expected {expected} (height, width), found {found!r:.60}'
    counts, pixels = rle.get('counts'), size[0] * size[1]
    wanted = f'.counts: expected run-length counts of {pixels} pixels in all'
    if isinstance(counts, list):
        whole = all(is_integer(n) and n >= 0 for n in counts)
        total = str(sum(counts)) if whole else 'broken ones'
        if not whole or sum(counts) != pixels:
            return f'{wanted}, found {total:.40}'
        return None
    if not isinstance(counts, str | bytes) or not counts.isascii():
        what = 'none' if counts is None else f'broken ones ({counts!r:.40})'
        return f'{wanted}, found {what}'
    fault = rle_error([counts.encode() if isinstance(counts, str) else counts], pixels)
    if fault:
        return f'{wanted}, found broken ones: {fault[1]}'
    return None


def compressed(rle: dict) -> dict:
    """A sound run-length code, compressed where it is a list of run lengths."""
    if isinstance(rle['counts'], list):
        return coco_mask.frPyObjects(rle, *rle['size'])
    return rle


def rle_extent(rle: dict) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of a sound run-length code; None: no pixel is set."""
    x, y, width, height = coco_mask.toBbox(compressed(rle)).tolist()
    return (x, y, x + width, y + height) if width and height else None


def rle_error(counts: list[bytes], pixels: int) -> tuple[int, str] | None:
    """The first broken code among compressed run-length codes of one picture size, or None.

    pycocotools trusts its input: a code that runs over the image is read beyond its end. A code
    is a sequence of numbers in groups of 5 bits, low group first, bit 5 set when more follow, bit
    4 of the last one the sign; from the fourth number on a run length is given as the difference
    to the one two places before.

    Args:
        counts: The `counts` of the codes.
        pixels: Height times width of the picture.

    Returns:
        Index of the code and what is wrong with it.
    """
    lengths = np.array([len(c) for c in counts], dtype=np.int64)
    if not lengths.size:
        return None
    if not lengths.all():
        return int(np.argmin(lengths)), 'the run-length code is empty'
    owner = np.repeat(np.arange(len(counts)), lengths)
    groups = np.frombuffer(b''.join(counts), dtype=np.uint8).astype(np.int64) - 48
    last = (groups & 0x20) == 0
    bad = (groups < 0) | (groups > 63)
    if bad.any():
        return int(owner[np.argmax(bad)]), 'the run-length code holds a foreign character'
    ends = np.cumsum(lengths) - 1
    if not last[ends].all():
        return int(np.argmin(last[ends])), 'the run-length code ends within a number'

    stop = np.flatnonzero(last)
    start = np.concatenate([[0], stop[:-1] + 1])
    digits = stop - start + 1
    if digits.max() > 12:
        return int(owner[start[np.argmax(digits > 12)]]), 'the run-length code holds a huge number'
    place = np.arange(groups.size) - np.repeat(start, digits)
    number = np.add.reduceat((groups & 0x1F) << (5 * place), start)
    number -= np.where(groups[stop] & 0x10, np.int64(1) << (5 * digits), 0)

    owner = owner[start]
    first = np.searchsorted(owner, np.arange(len(counts)))
    index = np.arange(owner.size) - first[owner]
    runs = number.copy()
    for parity in (1, 0):
        chain = (index % 2 == parity) & (index > 0)
        total = np.cumsum(np.where(chain, number, 0))
        before = np.concatenate([[0], total])[first]
        runs = np.where(chain, total - before[owner], runs)
    if (runs < 0).any():
        return int(owner[np.argmax(runs < 0)]), 'the run-length code holds a negative run'
    covered = np.add.reduceat(runs, first)
    if (covered != pixels).any():
        wrong = int(np.argmax(covered != pixels))
        return wrong, f'the run-length code covers {covered[wrong]} pixels, the image has {pixels}'
    return None
