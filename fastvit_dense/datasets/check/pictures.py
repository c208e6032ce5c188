"""Checks of picture files that datasets of all formats share: bit depth and orientation."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..bit_depth import look_at_depth
from ..decoding import TURNED, orientation_of
from ..spread import spread
from .common import LOOKED_AT, DatasetCheck
from .findings import DatasetReport

Size = tuple[int, int]


def check_pictures(check: DatasetCheck, sizes: Mapping[Path, Size | None]) -> None:
    """Look at headers, and at values of more than 8 bits, of which `judge_depth` tells.

    Args:
        check: Says which dataset, and takes the findings.
        sizes: Picture -> (height, width) of its mask, or that its annotation tells; None: unknown.
    """
    if check.depth == 'annotations':
        return
    most = None if check.depth == 'all' else LOOKED_AT
    look = look_at_depth(list(sizes), most)
    report = check.report
    if look.deep:
        report.depth = look
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


def judge_depth(reports: Iterable[DatasetReport], stated: int | None) -> None:
    """Tell of pictures of more than 8 bits, which have one scale in all datasets of a config.

    Args:
        reports: All datasets that were looked at; take the findings.
        stated: `image_bits` of the config.
    """
    looks = [(report, report.depth) for report in reports if report.depth]
    bits = max((look.bits for _, look in looks), default=None)
    for report, look in looks:
        if stated and look.bits > stated:
            report.error(
                'bit_depth',
                report.source,
                f'expected values of {stated} bits, up to {(1 << stated) - 1} (image_bits), found '
                f'{look.highest} in {look.deep} pictures of more than 8 bits: each picture above '
                f'is refused; set image_bits={bits}',
            )
        else:
            report.warning('bit_depth', report.source, look.message(stated, bits))


def _tells_its_frame(orientation: int, size: Size | None) -> bool:
    """Tell whether the size of an annotation shows on which of the two pictures it was drawn."""
    return orientation in TURNED and size is not None and size[0] != size[1]
