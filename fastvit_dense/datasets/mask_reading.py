"""Reading class masks: the index of each pixel's class, whatever the file's depth."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError
from .decoding import PILLOW_FAULTS
from .picture_files import image_problem, read_stored_bytes
from .tiff import is_stack

IGNORED = 255  # label of pixels that do not count
JPEG = b'\xff\xd8\xff'
MASK_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L')  # Pillow's modes of one integer channel


def read_mask(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Read a class mask as (H, W) int32: 8-bit, 16-bit, one-bit or palette (its indices).

    The highest value of a 16-bit mask, 65535, becomes 255 (ignored).

    Raises:
        DataError: The file is missing, empty, truncated, no image, or a colour picture.
    """
    return read_mask_and_palette(path, backend_args)[0]


def read_mask_and_palette(
    path: str, backend_args: dict | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a class mask as `read_mask` does, and its palette: (N, 3) RGB, or None."""
    data = read_stored_bytes(path, backend_args)
    problem = image_problem(data)
    if problem:
        raise DataError(f'{path}: {problem}')
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode, array = image.mode, np.array(image)
            colors = image.getpalette() if mode == 'P' else None
            frames = is_stack(image)
    except PILLOW_FAULTS as error:
        raise DataError(
            f'{path}: expected a class mask, found a file that cannot be decoded'
        ) from error
    if frames:
        raise DataError(f'{path}: expected one class mask, found {frames} pages or frames')
    if mode not in MASK_MODES:
        raise DataError(
            f'{path}: expected one class index per pixel (8 or 16 bits, or a palette), found '
            f'{_what_it_is(mode, array)}'
        )
    mask = array.astype(np.int32) // _stretched(data)
    if mode.startswith('I'):
        mask[mask == np.iinfo(np.uint16).max] = IGNORED
    return mask, None if colors is None else np.array(colors, np.uint8).reshape(-1, 3)


def is_jpeg(path: Path) -> bool:
    """Tell by its first bytes whether a file is a JPEG."""
    with path.open('rb') as file:
        return file.read(3) == JPEG


def _stretched(data: bytes) -> int:
    """The factor by which Pillow stretches grey PNG files of 2 and 4 bits to 255."""
    if data[:4] != b'\x89PNG' or data[25] != 0:  # colour type, after the depth
        return 1
    return {2: 85, 4: 17}.get(data[24], 1)


def value_of_ignored(path: str) -> int:
    """The value in the file of a class mask, which `read_mask` reads, that is read as 255."""
    with Image.open(path) as image:
        return int(max(IGNORED, np.asarray(image).max()))


def _what_it_is(mode: str, array: np.ndarray) -> str:
    """Say what an image is that is no mask, and what to do."""
    values = ', '.join(f'{value:g}' for value in np.unique(array)[:6])
    if mode == 'F':
        return (
            f'floating-point numbers ({values}, ...); write them as 8 bits: '
            'Image.fromarray(mask.astype("uint8"))'
        )
    if mode == 'LA':
        values = ', '.join(map(str, np.unique(array[..., 0])[:6].tolist()))
        return (
            f'a picture of mode LA, grey (values {values}) and alpha; if these are indices write '
            'the grey channel, Image.fromarray(mask[..., 0]), else replace each colour by the '
            'index of its class'
        )
    colors = array[..., :3]
    if colors.shape[2:] == (3,) and (colors == colors[..., :1]).all():
        values = ', '.join(map(str, np.unique(colors)[:6].tolist()))
        return (
            f'a picture of mode {mode} whose channels are equal (values {values}); write one of '
            'them: Image.fromarray(mask[..., 0])'
        )
    return f'a picture of mode {mode}; replace each colour by the index of its class'


def mask_value_problem(mask: np.ndarray, num_classes: int, reduce_zero_label: bool) -> str | None:
    """Name the values of a mask that stand for no class.

    Args:
        mask: (H, W) integers.
        num_classes: Number of classes of the files, before any of them are left out.
        reduce_zero_label: 0 is ignored and k stands for class k - 1.
    """
    highest = num_classes if reduce_zero_label else num_classes - 1
    values, counts = np.unique(mask, return_counts=True)
    bad = ((values < 0) | (values > highest)) & (values != IGNORED)
    if not bad.any():
        return None
    shown = ', '.join(
        f'{v} ({n} pixels)' for v, n in zip(values[bad][:5], counts[bad][:5], strict=True)
    )
    more = f' and {bad.sum() - 5} other values' if bad.sum() > 5 else ''
    return (
        f'expected values 0 to {highest} ({num_classes} classes, '
        f'reduce_zero_label={reduce_zero_label}) or {IGNORED} (ignored), found {shown}{more}'
    )
