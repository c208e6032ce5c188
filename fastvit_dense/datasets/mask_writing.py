"""An annotated folder as pictures and class masks."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ..errors import DataError
from .coco_writing import area_of
from .formats.mask_folders import read_labels
from .formats.records import SPLITS, Found, Picture, rectangle, with_classes
from .formats.rle import compressed
from .mask_reading import IGNORED
from .splitting import complete_splits

BACKGROUND = 'background'
MOST_CLASSES = 255


def with_masks(found: Found, classes: Sequence[str] | None = None) -> Found:
    """The folder with classes for masks; where it has objects alone, a background and theirs.

    Args:
        found: A folder, read.
        classes: Those of a model, which it is to have instead.

    Raises:
        DataError: Its objects are boxes alone, or there are more than 255 classes.
    """
    if not found.mask_classes:
        if found.boxes_alone == found.objects:
            raise DataError(
                f'{found.root}: expected masks, or objects with outlines, found boxes alone '
                f'({found.objects}); boxes train fasterrcnn_fastvit_t8 and its kin'
            )
        own = BACKGROUND in found.classes
        names = found.classes if own else (BACKGROUND, *found.classes)
        note = 'pixels of an object are of its class, smaller objects over larger ones'
        boxes = found.boxes_alone
        notes = [f'{boxes} objects without outline fill their box'] if boxes else []
        found = replace(found, mask_classes=names, notes=[*found.notes, note, *notes])
    else:
        kept = [picture for picture in found.pictures if picture.mask]
        left = len(found.pictures) - len(kept)
        notes = [f'{left} pictures without a class mask are left out'] if left else []
        found = replace(found, pictures=kept, notes=[*found.notes, *notes])
        if not found.of('val'):
            complete_splits(found, testing=bool(classes))
    if classes:
        found = with_classes(found, classes)
    if len(found.mask_classes) > MOST_CLASSES:
        raise DataError(
            f'{found.root}: expected at most {MOST_CLASSES} classes for masks of 8 bits, found '
            f'{len(found.mask_classes)}'
        )
    return found


def label_map(found: Found, picture: Picture) -> np.ndarray:
    """Class of every pixel of a picture, (H, W) uint8, 255 where it is not labelled.

    Raises:
        DataError: Its mask cannot be read, or is of another size.
    """
    if picture.mask is not None and found.mask_code is not None:
        labels = read_labels(picture.mask, found.mask_code)
        if labels.shape != picture.size:
            (height, width), (h, w) = picture.size, labels.shape
            raise DataError(
                f'{picture.mask}: expected {width} x {height} pixels as {picture.path} has, found '
                f'{w} x {h}'
            )
        return labels
    names = found.mask_classes
    empty = names.index(BACKGROUND) if BACKGROUND in names else IGNORED
    labels = np.full(picture.size, empty, np.uint8)
    for entry in sorted(picture.objects, key=area_of, reverse=True):
        if entry.rle is not None:
            code = compressed(entry.rle)
        else:
            rings = entry.rings or [rectangle(*entry.box)]
            code = coco_mask.merge(coco_mask.frPyObjects(rings, *picture.size))
        labels[coco_mask.decode(code) > 0] = names.index(entry.label)
    return labels


def write_masks(folder: Path, found: Found, place: Callable[[Path, Path], None]) -> str:
    """Write images/SPLIT and masks/SPLIT.

    Args:
        folder: A new folder.
        found: From `with_masks`, with splits.
        place: Puts a file under another name: a link, or a copy.

    Returns:
        The suffix of all pictures there.
    """
    code = found.mask_code or {}
    as_it_is = bool(code) and all(key == label for key, label in code.items())
    suffixes = {picture.path.suffix for picture in found.pictures}
    suffix = suffixes.pop() if len(suffixes) == 1 else ''
    for split in SPLITS:
        pictures = found.of(split)
        for picture, name in zip(pictures, unique_names(found, pictures), strict=True):
            image = folder / 'images' / split / f'{name}{suffix or ".jpg"}'
            mask = folder / 'masks' / split / f'{name}.png'
            for path in (image, mask):
                path.parent.mkdir(parents=True, exist_ok=True)
            place(picture.path, image)
            if as_it_is and picture.mask and picture.mask.suffix.lower() == '.png':
                place(picture.mask, mask)
            else:
                Image.fromarray(label_map(found, picture)).save(mask)
    return suffix or '.jpg'


def unique_names(found: Found, pictures: list[Picture]) -> list[str]:
    """A name without suffix for each picture: its own, with the folders' where another has it."""
    names: dict[str, None] = {}
    for picture in pictures:
        root = found.root if picture.path.is_relative_to(found.root) else picture.path.parent
        longer = '_'.join(picture.path.relative_to(root).with_suffix('').parts)
        name = picture.path.stem if picture.path.stem not in names else longer
        number = 2
        while name in names:
            name, number = f'{longer}_{number}', number + 1
        names[name] = None
    return list(names)


def link(source: Path, target: Path) -> None:
    """Put a file under another name, as a link; as a copy where there are no links."""
    try:
        target.symlink_to(os.path.abspath(source))
    except OSError:
        shutil.copyfile(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy a file."""
    shutil.copyfile(source, target)


def palette_of(count: int) -> list[list[int]]:
    """Colours of so many classes, as PASCAL VOC numbers them; the first is black."""
    colors = []
    for label in range(count):
        color, bits = [0, 0, 0], label
        for shift in range(7, -1, -1):
            for channel in range(3):
                color[channel] |= (bits >> channel & 1) << shift
            bits >>= 3
        colors.append(color)
    return colors
