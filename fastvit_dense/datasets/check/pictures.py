"""Checks of picture files that datasets of all formats share: bit depth and orientation."""

from collections.abc import Mapping
from pathlib import Path

from ..bit_depth import look_at_depth
from ..decoding import TURNED, orientation_of
from ..spread import spread
from .common import DatasetCheck

LOOKED_AT = 100  # pictures, before training

Size = tuple[int, int]


def check_pictures(check: DatasetCheck, sizes: Mapping[Path, Size | None]) -> None:
    """Look at headers, and at the values of pictures of more than 8 bits.

    Args:
        check: Says which dataset, and takes the findings.
        sizes: Picture -> (height, width) of its mask, or that its annotation tells; None: unknown.
    """
    if check.depth == 'annotations':
        return
    most = None if check.depth == 'all' else LOOKED_AT
    look = look_at_depth(list(sizes), most)
    report = check.report
    if check.bits and look.deep and look.bits > check.bits:
        report.error(
            'bit_depth',
            report.source,
            f'expected values of {check.bits} bits, up to {(1 << check.bits) - 1} (image_bits), '
            f'found {look.highest} in {look.deep} pictures of more than 8 bits: each picture above '
            f'is refused; set image_bits={look.bits}',
        )
    elif look.deep:
        report.warning('bit_depth', report.source, look.message(check.bits))
    unclear = [
        (path, code)
        for path in (list(sizes) if most is None else spread(list(sizes), most))
        if (code := orientation_of(path)) != 1 and not _tells_its_frame(code, sizes[path])
    ]
    if unclear:
        path, code = unclear[0]
        codes = ', '.join(map(str, sorted({code for _, code in unclear})))
        report.warning(
            'exif',
            path,
            f'{len(unclear)} of {len(sizes) if most is None else min(len(sizes), most)} pictures '
            f'have an EXIF orientation ({codes}; this one {code}) and are turned or mirrored when '
            'they are read; their masks or boxes do not show whether they were drawn on the turned '
            'picture. If they were not, write the pictures again without it',
        )


def _tells_its_frame(orientation: int, size: Size | None) -> bool:
    """Tell whether the size of an annotation shows on which of the two pictures it was drawn."""
    return orientation in TURNED and size is not None and size[0] != size[1]
