"""From the bytes of a picture, or from a PIL image, to an array; nothing is scaled here.

Orientation (EXIF) is applied once. A fourth band, of alpha or anything else, is left out and never
multiplied with the others. More than 8 bits stay what they are.
"""

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError, reason_of
from .tiff import TIFF, is_stack, tiff_as_rgb

ORIENTATION = 0x0112  # of EXIF
TURNED = (5, 6, 7, 8)  # orientations that swap height and width
OPENCV_PIXELS = 1 << 30  # a picture that OpenCV reads has no more
DEEP_MODES = ('I', 'F', 'I;16', 'I;16B', 'I;16L', 'I;16N')
# what follows 'ftyp' in the first bytes -> name
BOXES = {b'heic': 'HEIC', b'heix': 'HEIC', b'mif1': 'HEIC', b'msf1': 'HEIC', b'avif': 'AVIF'}
CUT_BY_PILLOW = ('PNG', 'TIFF')  # formats whose 16 bits of three or four channels it cuts to 8
CHANGED = (
    'expected an image as its file holds it, found one that was changed after reading, with 8 of '
    'the 16 bits of each channel; give the path, or an array'
)
# what Pillow raises for damaged files, those of its own parsers included
PILLOW_FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error),
    Image.DecompressionBombError,
)


def may_be_deep(path: str | Path) -> bool:
    """Tell from the header of a file whether it can have more than 8 bits a channel."""
    try:
        with _quiet_open(path) as image:
            return _is_deep(image)
    except PILLOW_FAULTS:
        return True


def orientation_of(path: str | Path) -> int:
    """The EXIF orientation of a picture, 1-8, from its header; 1 where it has none."""
    try:
        with _quiet_open(path) as image:
            return int(image.getexif().get(ORIENTATION, 1))
    except (*PILLOW_FAULTS, TypeError):
        return 1


def size_of(path: str | Path) -> tuple[int, int] | None:
    """(height, width) of a picture as it is read, from its header; None where it does not tell."""
    try:
        with _quiet_open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED and image.format != 'TIFF'
            return (width, height) if turned else (height, width)
    except PILLOW_FAULTS:
        return None


def decode_image(data: bytes) -> np.ndarray:
    """Decode the bytes of a picture file.

    Returns:
        (H, W, 3) BGR, uint8; of more than 8 bits uint16, int32 or float32, as they stand there.

    Raises:
        DataError: With the reason, but without the name of the file.
    """
    try:
        with _quiet_open(io.BytesIO(data)) as image:
            if image.width * image.height > OPENCV_PIXELS:
                raise DataError(_too_large(image.size))
            if data[:2] == b'\xff\xd8' and image.mode in ('L', 'RGB'):
                return _by_opencv(data, cv2.IMREAD_COLOR)  # orientation applied
            return _decode(image, data)
    except DataError:
        raise
    except PILLOW_FAULTS as error:
        return _decode_unknown(data, error)


def picture_array(image: Image.Image) -> np.ndarray:
    """The array of a PIL image.

    Returns:
        (H, W, 3) RGB, types as `decode_image` gives them.

    Raises:
        DataError: The image cannot be read; or it was changed after reading, and its file has
            more than 8 bits a channel, of which Pillow kept 8.
    """
    if image.width * image.height > OPENCV_PIXELS:
        raise DataError(_too_large(image.size))
    try:
        data = _deep_bytes(image)
        if data is not None:  # Pillow would keep 8 of the 16 bits
            with _quiet_open(io.BytesIO(data)) as cut:
                loaded = not getattr(image, 'tile', None)
                if loaded and not np.array_equal(np.asarray(cut), np.asarray(image)):
                    raise DataError(CHANGED)
            with _quiet_open(io.BytesIO(data)) as fresh:
                return np.ascontiguousarray(_decode(fresh, data)[..., ::-1])
        return _by_pillow(image)
    except DataError:
        raise
    except PILLOW_FAULTS as error:
        raise DataError(
            f'expected an image, found one that cannot be read: {_say(error)}'
        ) from None


def _quiet_open(source: Any) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        return Image.open(source)


def _is_deep(image: Any) -> bool:
    """Tell whether the file of an image, not read yet, has more than 8 bits a channel."""
    raw = str(image.tile[0].args) if getattr(image, 'tile', None) else ''
    return image.mode in DEEP_MODES or ';16' in raw


def _deep_bytes(image: Any) -> bytes | None:
    """The file of an image, read or not, of which Pillow keeps 8 of 16 bits; None of others."""
    known = image.format in CUT_BY_PILLOW and image.mode not in DEEP_MODES
    if not known or (image.tile and not _is_deep(image)):
        return None
    data = _file_of(image)
    if data is None:
        return None
    with _quiet_open(io.BytesIO(data)) as fresh:
        return data if _is_deep(fresh) and fresh.mode not in DEEP_MODES else None


def _file_of(image: Any) -> bytes | None:
    """The bytes that an image was opened from; None where they are not to be had any more."""
    sources: list[Any] = [image.fp, getattr(image, '_fp', None)]  # `_fp` stays after loading
    for source in sources:
        if hasattr(source, 'seek') and not source.closed:
            position = source.tell()
            source.seek(0)
            data = source.read()
            source.seek(position)
            return data
    path = Path(image.filename or '')
    return path.read_bytes() if path.is_file() else None


def _decode(image: Image.Image, data: bytes) -> np.ndarray:
    if _is_deep(image) and image.mode not in DEEP_MODES:  # several channels of 16 bits
        array = _three(_by_opencv(data, cv2.IMREAD_UNCHANGED))
        # of a TIFF OpenCV applies it
        return array if data[:4] in TIFF else _turned(array, image.getexif().get(ORIENTATION, 1))
    return np.ascontiguousarray(_by_pillow(image)[..., ::-1])


def _by_pillow(image: Any) -> np.ndarray:
    """RGB of an image that Pillow reads without loss."""
    if image.format == 'TIFF' and (pages := is_stack(image)):
        raise DataError(
            f'expected one picture, found a TIFF of {pages} pages of one size; write the '
            'pages that the model is to see as three bands of 8 bits'
        )
    for number, tile in enumerate(getattr(image, 'tile', ())):
        if image.format == 'TIFF' and 'RGBa' in str(tile.args):  # would be divided by the fourth
            raw = tuple('RGBA' if part == 'RGBa' else part for part in tile.args)
            image.tile[number] = tile._replace(args=raw)
    image = ImageOps.exif_transpose(image)
    if image.mode in DEEP_MODES:
        return _three(np.asarray(image))
    if image.mode in ('PA', 'La', 'RGBa'):
        image = image.convert('RGBA' if image.mode != 'La' else 'LA')
    return np.asarray(image.convert('RGB'))


def _three(array: np.ndarray) -> np.ndarray:
    """Three channels of one, three or four."""
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    return np.ascontiguousarray(array[..., :3])


def _turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation."""
    if orientation in TURNED:
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def _by_opencv(data: bytes, flags: int) -> np.ndarray:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if array is None:
        raise ValueError('OpenCV cannot decode it')
    return array


def _decode_unknown(data: bytes, error: Exception) -> np.ndarray:
    """Let OpenCV try what Pillow does not know, or say what it is."""
    known, reason = tiff_as_rgb(data) if data[:4] in TIFF else (None, _reason(data))
    if known is not None:
        return decode_image(known)
    if reason is None:
        try:
            return _by_opencv(data, cv2.IMREAD_COLOR)
        except ValueError:
            pass
        except cv2.error as opencv:
            if 'CV_IO_MAX_IMAGE' in str(opencv):
                reason = _too_large(None)
    if reason is None:
        unknown = isinstance(error, Image.UnidentifiedImageError)
        detail = '' if unknown else f' ({_say(error)})'
        reason = f'expected an image, found a file that cannot be decoded{detail}'
    raise DataError(reason) from None


def _say(error: Exception) -> str:
    return str(error) or reason_of(error)


def _too_large(size: tuple[int, int] | None) -> str:
    found = f'found {size[0]}x{size[1]}' if size else 'found more'
    return (
        f'expected an image of at most {OPENCV_PIXELS} pixels, {found} (width x height); cut it '
        'into smaller ones'
    )


def _reason(data: bytes) -> str | None:
    """Say what a file is that is not read; None: it is not known."""
    if data[4:8] != b'ftyp' or data[8:12] not in BOXES:
        return None
    name = BOXES[data[8:12]]
    return f'expected an image of a known format, found {name}; convert it to JPEG or PNG'
