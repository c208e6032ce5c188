"""Pictures of more than 8 bits a channel: one scale for all that a run reads.

A channel holds 8, 10, 12, 14 or 16 significant bits, whatever the file could hold: the fewest in
which the highest value fits. The value 2 ** bits - 1 is white. Of a data set all pictures have one
scale, that of its highest value, or that of `image_bits` in the config; a lone picture has its own.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log

from ..config.loaders import LOADERS, datasets_of
from ..errors import ConfigError, DataError
from .decoding import decode_image, may_be_deep
from .picture_suffixes import PICTURE_SUFFIXES
from .spread import spread

BITS = (8, 10, 12, 14, 16)
DEEP_SUFFIXES = ('.png', '.tif', '.tiff', '.pgm', '.ppm', '.jp2')  # of files that can hold 16 bits
LOOKED_AT = 200  # pictures of a dataset


def significant_bits(highest: int) -> int:
    """The fewest of 8, 10, 12, 14 and 16 bits in which a value of 0-65535 fits."""
    return next(bits for bits in BITS if highest < 1 << bits)


def to_bytes(array: np.ndarray, bits: int | None, where: str) -> np.ndarray:
    """Scale whole numbers to uint8.

    Args:
        array: Of any shape; uint8 stays as it is.
        bits: Significant bits; None: those of the highest value, with a warning.
        where: File or what else it is, for messages.

    Raises:
        DataError: A value is below 0 or does not fit, or floating-point numbers are not whole
            numbers above 1.
    """
    if array.dtype == np.uint8:
        return array
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if array.dtype.kind not in 'iuf':
        raise DataError(f'{where}: expected whole numbers, found {array.dtype}')
    if (array.size and not _is_whole(array)) or not 0 <= low <= high < 1 << 16:
        raise DataError(
            f'{where}: expected whole numbers of 0 to 65535, found {array.dtype} from {low:g} to '
            f'{high:g}, which does not tell what is white; write it as 8 or 16 bits'
        )
    found = significant_bits(int(high))
    if bits is None:
        warnings.warn(
            f'{where}: values up to {int(high)}: read as {found} bits, {(1 << found) - 1} is white '
            '(image_bits in the config states another scale)',
            stacklevel=2,
        )
    elif found > bits:
        raise DataError(
            f'{where}: expected values of {bits} bits, up to {(1 << bits) - 1} (image_bits), found '
            f'{int(high)}; for one scale for all pictures set image_bits={found}'
        )
    return (array.astype(np.int32) >> ((bits or found) - 8)).astype(np.uint8)


def _is_whole(array: np.ndarray) -> bool:
    """Tell whole numbers, also as floating-point ones, from those that go up to 1 or between."""
    return array.dtype.kind != 'f' or bool(array.max() > 1 and (array == np.floor(array)).all())


@dataclass(frozen=True)
class DepthLook:
    """Pictures of more than 8 bits.

    Attributes:
        looked_at: Pictures that were looked at.
        deep: How many have more than 8 bits a channel.
        highest: Highest value in these.
    """

    looked_at: int
    deep: int
    highest: int

    @property
    def bits(self) -> int:
        """Significant bits."""
        return significant_bits(self.highest)

    def message(self, stated: int | None, of_all: int | None = None) -> str:
        """Say what was found, and how it is read.

        Args:
            stated: `image_bits` of the config.
            of_all: Significant bits of all its datasets; None: those of these pictures.
        """
        bits = stated or of_all or self.bits
        how = 'as image_bits says' if stated else f'image_bits={bits} in the config states it'
        return (
            f'{self.deep} of {self.looked_at} pictures have more than 8 bits a channel, values up '
            f'to {self.highest}: read as {bits} bits, {(1 << bits) - 1} is white; {how}'
        )


def look_at_depth(paths: Sequence[str | Path], most: int | None = LOOKED_AT) -> DepthLook:
    """Look for pictures of more than 8 bits, and at their values.

    Args:
        paths: Pictures; what cannot be read is left to those who read it.
        most: How many are looked at, from the first to the last, and so many of those whose suffix
            is one of more than 8 bits: any file can have a wrong name. None: all.
    """
    named = [path for path in paths if Path(path).suffix.lower() in DEEP_SUFFIXES]
    candidates = paths if most is None else {*spread(named, most), *spread(paths, most)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        highest = [value for value in pool.map(_highest, candidates) if value is not None]
    return DepthLook(len(candidates), len(highest), max(highest, default=0))


def _highest(path: str | Path) -> int | None:
    """Highest value of a picture of more than 8 bits; None of others."""
    try:
        if not (Path(path).is_file() and may_be_deep(path)):
            return None
        array = decode_image(Path(path).read_bytes())
    except (DataError, OSError):
        return None
    if array.dtype == np.uint8 or not array.size or not _is_whole(array):
        return None
    return int(array.max()) if 0 <= array.max() < 1 << 16 else None


def stated_bits(cfg: Config) -> int | None:
    """The `image_bits` of a config.

    Raises:
        ConfigError: Another value than 8, 10, 12, 14, 16 and None.
    """
    bits = cfg.get('image_bits')
    if bits is not None and bits not in BITS:
        raise ConfigError(f'{cfg.filename}: image_bits: expected one of {BITS}, found {bits!r}')
    return bits


def set_image_bits(cfg: Config) -> None:
    """Look at the pictures of all datasets of a config; where they need it set `image_bits`.

    All that is trained, validated and tested with the config has the same scale.
    """
    if stated_bits(cfg):
        return
    look = look_at_depth(list(_pictures_of(cfg)))
    if look.deep:
        cfg.image_bits = look.bits
        print_log(f'pictures: {look.message(None)}', 'current', logging.WARNING)


def _pictures_of(cfg: Config) -> Iterable[Path]:
    """Pictures in the folders of the datasets; without such a folder those that a file names."""
    folders = set()
    for dataset in datasets_of(cfg, LOADERS):
        prefix = dataset.get('data_prefix') or {}
        folder = prefix.get('img_path', prefix.get('img'))
        root = dataset.get('data_root') or ''
        if folder is None or '://' in f'{root}{folder}':
            continue
        if folder or not dataset.get('ann_file'):
            folders.add(os.path.join(root, folder))
        else:
            yield from _named_in(os.path.join(root, dataset.ann_file), root)
    for folder in sorted(folders):
        files = sorted(Path(folder).rglob('*'))
        yield from (path for path in files if path.suffix.lower() in PICTURE_SUFFIXES)


def _named_in(ann_file: str, root: str) -> list[Path]:
    """Pictures of a COCO file; none of a file that the checks refuse."""
    try:
        content = json.loads(Path(ann_file).read_bytes())
        return [Path(root, image['file_name']) for image in content['images']]
    except (OSError, ValueError, LookupError, TypeError):
        return []
