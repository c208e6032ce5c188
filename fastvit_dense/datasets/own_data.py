"""A folder of one's own pictures made ready: read, split, described, written for a training."""

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from .coco_writing import coco_json
from .formats.recognising import read_folder
from .formats.records import SPLITS, Found, Picture
from .mask_writing import link, write_masks
from .splitting import complete_splits

ABOUT = 'about.txt'
NOTES = 12  # shown
CLASSES = 40


def read_own_data(folder: str | Path, seed: int = 0, testing: bool = False) -> Found:
    """Read a folder of annotated pictures of any known format, and split it where it is not.

    Args:
        folder: See `formats.recognising`.
        seed: Of the split.
        testing: A folder without training pictures will do.

    Raises:
        MissingFileError, DataError: With the file and the field that cannot be used.
    """
    found = read_folder(folder)
    complete_splits(found, seed, testing)
    return found


def describe(found: Found) -> str:
    """Tell what was understood of a folder: format, splits, classes with counts, and notes."""
    lines = [f'{found.root}: {found.kind}']
    for split in SPLITS:
        pictures = found.of(split)
        if pictures:
            objects = sum(len(picture.objects) for picture in pictures)
            masks = sum(picture.mask is not None for picture in pictures)
            counted = [f'{len(pictures)} pictures']
            counted += [f'{objects} objects'] if found.classes else []
            counted += [f'{masks} masks'] if masks else []
            lines.append(f'  {split}: {", ".join(counted)}')
    if found.classes:
        total = Counter(o.label for picture in found.pictures for o in picture.objects)
        told = [f'{name} {total[name]}' for name in found.classes]
        lines.append(f'  {len(told)} classes: {_list(told)}')
        shapes = Counter(_shape(o) for picture in found.pictures for o in picture.objects)
        lines.append('  ' + ', '.join(f'{n} {shape}' for shape, n in sorted(shapes.items())))
    if found.mask_classes:
        lines.append(f'  {len(found.mask_classes)} classes of masks: {_list(found.mask_classes)}')
    lines += [f'  {note}' for note in found.notes[:NOTES]]
    if len(found.notes) > NOTES:
        lines.append(f'  ... and {len(found.notes) - NOTES} notes more')
    return '\n'.join(lines)


def _list(names: Sequence[str]) -> str:
    more = f', ... and {len(names) - CLASSES} more' if len(names) > CLASSES else ''
    return ', '.join(names[:CLASSES]) + more


def _shape(entry: object) -> str:
    if getattr(entry, 'rle', None) is not None:
        return 'masks'
    rings = len(getattr(entry, 'rings', ()))
    if not rings:
        return 'boxes'
    return 'polygons' if rings == 1 else 'objects of several polygons'


# ---------------------------------------------------------------- files for a training


def common_root(found: Found) -> Path:
    """The folder that holds all pictures."""
    folders = [os.path.abspath(picture.path.parent) for picture in found.pictures]
    return Path(os.path.commonpath(folders))


def prepare_coco(found: Found, folder: Path, masks: bool) -> tuple[Path, Path]:
    """Write annotation files that name the pictures where they are.

    Args:
        found: With splits.
        folder: Where a folder of them is made, unless it is there.
        masks: See `coco_json`.

    Returns:
        The folder with train.json, val.json and test.json, and the folder of the pictures.
    """
    root = common_root(found)

    def name_of(picture: Picture) -> str:
        return Path(os.path.abspath(picture.path)).relative_to(root).as_posix()

    def write(made: Path) -> None:
        for split in SPLITS:
            if found.of(split):
                (made / f'{split}.json').write_bytes(coco_json(found, split, name_of, masks))

    return _made_once(folder, found, f'coco {masks}', write), root


def prepare_masks(found: Found, folder: Path) -> tuple[Path, str]:
    """Write a folder of links to the pictures and of class masks.

    Args:
        found: From `with_masks`, with splits.
        folder: Where it is made, unless it is there.

    Returns:
        The folder with images/SPLIT and masks/SPLIT, and the suffix of the pictures.
    """
    suffix = ''

    def write(made: Path) -> None:
        write_masks(made, found, link)

    made = _made_once(folder, found, 'masks', write)
    suffix = next(path.suffix for path in sorted((made / 'images').rglob('*.*')))
    return made, suffix


def _made_once(folder: Path, found: Found, what: str, write: Callable[[Path], None]) -> Path:
    """A folder named after what is in it, which appears whole; several processes may make it."""
    target = folder / f'data-{_digest(found, what)}'
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix='.data-', dir=folder))
    try:
        write(made)
        (made / ABOUT).write_text(describe(found) + '\n', encoding='utf-8')
        made.chmod(0o755)
        try:
            made.rename(target)
        except OSError:  # another process was faster
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def _digest(found: Found, what: str) -> str:
    digest = hashlib.sha256(
        f'{what} {found.classes} {found.mask_classes} {found.mask_code}'.encode()
    )
    for picture in found.pictures:
        state = picture.mask.stat() if picture.mask else None
        changed = (state.st_size, state.st_mtime_ns) if state else None
        digest.update(repr((picture, os.path.abspath(picture.path), changed)).encode())
    return digest.hexdigest()[:10]
