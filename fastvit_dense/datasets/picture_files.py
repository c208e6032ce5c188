"""The bytes of picture files, refused before they are unpacked where that would take too much."""

import io
import os
import stat
import warnings

from mmengine import fileio
from PIL import Image

from ..errors import ConfigError, DataError, reason_of
from ..limits import BYTES_PER_PIXEL, PIXELS

SWITCH = 'FASTVIT_DENSE_MAX_MEGAPIXELS'
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)  # our limit tells


def pixel_limit() -> int:
    """Return the number of pixels from which on a picture is refused: `$SWITCH`, or `PIXELS`.

    Where the variable is set, Pillow's own limit follows it.

    Raises:
        ConfigError: The variable holds no number above 0.
    """
    text = os.environ.get(SWITCH)
    if not text:
        return PIXELS
    try:
        limit = int(float(text) * 1e6)
    except (ValueError, OverflowError):
        limit = 0
    if limit <= 0:
        raise ConfigError(f'{SWITCH}: expected megapixels, a number above 0, found {text!r}')
    Image.MAX_IMAGE_PIXELS = limit
    return limit


def size_problem(data: bytes | str | os.PathLike) -> str | None:
    """Say that a picture has too many pixels, by its header; None where that tells no size.

    Args:
        data: The bytes of a file, or its path.
    """
    limit = pixel_limit()
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        found = reason_of(error).partition(' exceeds')[0]
    except Exception:  # the decoder that reads the file says what is wrong with it
        return None
    else:
        if width * height <= limit:
            return None
        found = f'{width}x{height}, {width * height / 1e6:.0f} megapixels'
    return (
        f'expected a picture of at most {limit / 1e6:.0f} megapixels, found {found}; '
        f'{SWITCH}=N allows more'
    )


def image_problem(data: bytes) -> str | None:
    """Name the fault in the bytes of an image file, as far as decoders do not tell."""
    if not data:
        return 'expected an image, found an empty file (0 bytes)'
    # neither marker can stand inside compressed data; OpenCV fills a missing rest with grey
    if data[:2] == b'\xff\xd8' and data.rfind(b'\xff\xd9') <= data.rfind(b'\xff\xda'):
        return f'expected a whole JPEG file, found it truncated after {len(data)} bytes'
    if data[:4] == b'\x89PNG' and b'IEND' not in data[-4096:]:
        return f'expected a whole PNG file, found it truncated after {len(data)} bytes'
    return size_problem(data)


def check_file(path: str | os.PathLike) -> None:
    """See before reading that a path names a plain file of a picture's size.

    Raises:
        DataError: It is a device, a pipe or a folder, too large, or cannot be had.
    """
    try:
        state = os.stat(path)
    except FileNotFoundError:
        raise DataError(f'{path}: expected an image, found no such file') from None
    except (OSError, ValueError) as error:  # ValueError: no name that a file can have
        reason = getattr(error, 'strerror', None) or reason_of(error)
        raise DataError(f'{str(path)[:200]!r}: cannot be read: {reason}') from error
    if not stat.S_ISREG(state.st_mode):
        raise DataError(f'{path}: expected an image, found a folder, a device or a pipe')
    if state.st_size > BYTES_PER_PIXEL * pixel_limit():
        raise DataError(
            f'{path}: expected at most {BYTES_PER_PIXEL * pixel_limit():,} bytes, found '
            f'{state.st_size:,}; {SWITCH}=N allows more'
        )


def read_picture_bytes(path: str | os.PathLike) -> bytes:
    """Read a picture file from this disk whose size and pixels are within the limits.

    Raises:
        DataError: They are not, or it cannot be read.
    """
    check_file(path)
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or reason_of(error)}') from error
    problem = size_problem(data)
    if problem:
        raise DataError(f'{path}: {problem}')
    return data


def read_stored_bytes(path: str, backend_args: dict | None) -> bytes:
    """Read a picture file from this disk or from a store of mmengine's.

    Raises:
        DataError: It cannot be read, or is no plain file of a picture's size.
    """
    if not backend_args and '://' not in path:
        check_file(path)
    try:
        return fileio.get(path, backend_args=backend_args)
    except FileNotFoundError:
        raise DataError(f'{path}: expected an image, found no such file') from None
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or reason_of(error)}') from error
