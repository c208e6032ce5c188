"""TIFF files of several bands or pages, which Pillow and OpenCV do not read, or read wrongly."""

import struct
from typing import Any

TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
BITS, COLOURS, BANDS, EXTRA, NUMBERS = 258, 262, 277, 338, 339
SIZES = {1: 1, 2: 1, 3: 2, 4: 4}  # type of a tag -> bytes
FORMATS = {1: 'B', 2: 'H', 4: 'I'}  # bytes -> as struct has it
NAMES = {1: 'whole', 2: 'signed', 3: 'floating-point'}
UNKNOWN = 65000
GREY, RGB, SHORT = 1, 2, 3


def tiff_as_rgb(data: bytes) -> tuple[bytes | None, str | None]:
    """Name a TIFF of 3 or 4 grey bands as one of red, green, blue and another; or say what it is.

    Returns:
        (the file, None), or (None, why it cannot be read); (None, None) where that is not known.
    """
    order = '<' if data[:2] == b'II' else '>'
    try:
        tags = dict(_tags(data, order))
        bands, bits = (_value(data, order, tags, tag) for tag in (BANDS, BITS))
        numbers = _value(data, order, tags, NUMBERS)
    except struct.error:  # cut, or BigTIFF
        return None, None
    whole = numbers == 1 and bits in (8, 16)
    if whole and bands in (3, 4) and _value(data, order, tags, COLOURS) == GREY:
        changed = bytearray(data)
        struct.pack_into(f'{order}H', changed, tags[COLOURS] + 8, RGB)
        if EXTRA in tags:
            tag = EXTRA if bands == 4 else UNKNOWN
            struct.pack_into(f'{order}HHIHH', changed, tags[EXTRA], tag, SHORT, 1, 0, 0)
        return bytes(changed), None
    if numbers == 1 and bits in (1, 4, 8, 16) and bands in (1, 3, 4):
        return None, None
    return None, (
        'expected a TIFF of 1, 3 or 4 bands of 8 or 16 bits, found one of '
        f'{bands} bands of {bits} bits ({NAMES.get(numbers, "other")} numbers); write the bands '
        'that the model is to see as three of 8 bits'
    )


def is_stack(image: Any) -> int:
    """Pages of a TIFF, or frames of a GIF, opened by Pillow, where the second is as large."""
    pages = getattr(image, 'n_frames', 1)
    if pages == 1 or image.tell() != 0:
        return 0
    size = image.size
    image.seek(1)
    same = image.size == size
    image.seek(0)
    return pages if same else 0


def _tags(data: bytes, order: str) -> list[tuple[int, int]]:
    """(tag, place of its 12 bytes) of the first page."""
    magic, start = struct.unpack_from(f'{order}HI', data, 2)
    if magic != 42:
        raise struct.error
    (count,) = struct.unpack_from(f'{order}H', data, start)
    places = [start + 2 + 12 * number for number in range(count)]
    return [(struct.unpack_from(f'{order}H', data, place)[0], place) for place in places]


def _value(data: bytes, order: str, tags: dict[int, int], tag: int) -> int:
    """The first value of a tag, 1 where it is not there."""
    if tag not in tags:
        return 1
    _, kind, count = struct.unpack_from(f'{order}HHI', data, tags[tag])
    size = SIZES.get(kind, 4)
    place = tags[tag] + 8
    if size * count > 4:
        (place,) = struct.unpack_from(f'{order}I', data, place)
    return int(struct.unpack_from(order + FORMATS[size], data, place)[0])
