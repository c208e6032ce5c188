"""`convert-data`: an annotated folder of any known format as COCO or as mask folders."""

import json
import shutil
import tempfile
from pathlib import Path

from mmengine.config import Config

from ..checkpoints.files import replacing
from ..errors import DataError
from .check.datasets import check_config
from .check.findings import DataReport
from .coco_writing import coco_json
from .formats.records import SPLITS, Found, Picture
from .mask_writing import copy, unique_names, with_masks, write_masks
from .own_data import ABOUT, describe, read_own_data

TARGETS = ('coco', 'masks')


def convert_data(
    source: str | Path, out: str | Path, to: str | None = None, seed: int = 0
) -> tuple[Found, DataReport]:
    """Convert a folder; the new one appears whole, pictures copied.

    Args:
        source: A folder of any known format.
        out: The folder to make; there must be none.
        to: 'coco' or 'masks'; by default what the folder has: masks where it has no objects.
        seed: Of the split, where the folder has none.

    Returns:
        What was understood, and the check of what was written.

    Raises:
        MissingFileError, DataError: With the file and the field that cannot be used.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f'{out}: expected no such folder yet, found one with files in it')
    found = read_own_data(source, seed)
    to = to or ('coco' if found.classes else 'masks')
    if to == 'coco' and not found.classes:
        raise DataError(
            f'{source}: expected objects, found class masks, which do not tell one object from '
            'another; --to masks converts them, and semfpn_fastvit_t8 and its kin train on them'
        )
    if to == 'masks':
        found = with_masks(found)
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix='.converting-', dir=out.parent))
    try:
        suffix = (_write_coco if to == 'coco' else _write_masks)(made, found)
        made.chmod(0o755)
        if out.exists():
            out.rmdir()
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    report = check_config(_config(out, found, to, suffix))
    with replacing(out / ABOUT) as part:
        part.write_text(f'{describe(found)}\n\n{report}\n', encoding='utf-8')
    return found, report


def _write_coco(folder: Path, found: Found) -> str:
    (folder / 'annotations').mkdir()
    for split in SPLITS:
        pictures = found.of(split)
        if not pictures:
            continue
        target = folder / 'images' / split
        target.mkdir(parents=True)
        names = {}
        for picture, name in zip(pictures, unique_names(found, pictures), strict=True):
            names[picture.path] = f'{name}{picture.path.suffix}'
            copy(picture.path, target / names[picture.path])

        def name_of(picture: Picture, names: dict = names) -> str:
            return names[picture.path]

        content = coco_json(found, split, name_of, masks=False)
        (folder / 'annotations' / f'{split}.json').write_bytes(content)
    return ''


def _write_masks(folder: Path, found: Found) -> str:
    suffix = write_masks(folder, found, copy)
    names = json.dumps({'classes': found.mask_classes}, indent=1, ensure_ascii=False)
    (folder / 'classes.json').write_text(names, encoding='utf-8')
    return suffix


def _config(out: Path, found: Found, to: str, suffix: str) -> Config:
    """A config of the new folder's datasets, to be checked."""
    loaders = {}
    objects = [entry for picture in found.pictures for entry in picture.objects]
    masks = all(entry.rings or entry.rle for entry in objects)  # else boxes stand among them
    for split in SPLITS:
        if not found.of(split):
            continue
        if to == 'coco':
            dataset = dict(
                type='CocoDataset',
                ann_file=f'annotations/{split}.json',
                data_prefix=dict(img=f'images/{split}'),
                metainfo=dict(classes=found.classes),
                pipeline=[dict(type='LoadAnnotations', with_bbox=True, with_mask=masks)],
                test_mode=split != 'train',
            )
        else:
            dataset = dict(
                type='BaseSegDataset',
                img_suffix=suffix,
                seg_map_suffix='.png',
                reduce_zero_label=False,
                data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'masks/{split}'),
                metainfo=dict(classes=found.mask_classes),
                pipeline=[dict(type='LoadAnnotations')],
            )
        loaders[f'{split}_dataloader'] = dict(dataset=dict(dataset, data_root=str(out)))
    scope = 'mmdet' if to == 'coco' else 'mmseg'
    return Config(dict(default_scope=scope, model=dict(), **loaders))
