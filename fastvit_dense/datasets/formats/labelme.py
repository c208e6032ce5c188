"""labelme's format: a JSON file with shapes beside each picture."""

import base64
import binascii
import io
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ...errors import DataError, reason_of
from ..decoding import PILLOW_FAULTS
from .records import Format, Found, Object, Picture, Ring, box_of, ellipse, once, split_of
from .tree import Tree, mapping, numbers, picture_size, text

NO_AREA = ('point', 'points', 'line', 'linestrip')
LOOKED_AT = 20  # files that may be something else


def annotation_files(tree: Tree) -> list[Path]:
    """The JSON files that have shapes."""
    found: list[Path] = []
    for place, path in enumerate(tree.of('.json')):
        if not found and place >= LOOKED_AT:
            break
        content = tree.json_or_none(path)
        if isinstance(content, dict) and isinstance(content.get('shapes'), list):
            found.append(path)
    return found


def recognise(tree: Tree) -> bool:
    """Tell whether there is such a file."""
    return bool(annotation_files(tree))


def read(tree: Tree) -> Found:
    """Read every file; pictures without one have no objects."""
    count: Counter[str] = Counter()
    pictures, names = [], set()
    tree.refuse_cut_json()
    _refuse_others(tree)
    told_of: dict[Path, Path] = {}
    for path in annotation_files(tree):
        content = tree.json(path)
        picture = _picture(tree, path, content)
        once(told_of, picture, path)
        size = picture_size(picture)
        for key, side in (('imageHeight', size[0]), ('imageWidth', size[1])):
            if content.get(key) not in (None, side):
                raise DataError(
                    f'{path}: {key}: expected {side}, as {picture.name} has, found '
                    f'{content[key]!r:.40}'
                )
        split = split_of(*path.relative_to(tree.root).parts[:-1])
        objects = _objects(path, content['shapes'], size, count)
        names |= {entry.label for entry in objects}
        pictures.append(Picture(picture, size, split, objects))
    annotated = {picture.path for picture in pictures}
    for picture in tree.pictures:
        if picture not in annotated:
            count['pictures without a JSON file are taken as pictures without objects'] += 1
            split = split_of(*picture.relative_to(tree.root).parts[:-1])
            pictures.append(Picture(picture, picture_size(picture), split))
    notes = [f'{n} {what}' for what, n in count.items()]
    return Found(FORMAT.name, tree.root, tuple(sorted(names)), pictures, notes=notes)


def _refuse_others(tree: Tree) -> None:
    """See that no JSON file named as a picture is something else."""
    stems = {picture.stem for picture in tree.pictures}
    for path in sorted(set(tree.of('.json')) - set(annotation_files(tree))):
        if path.stem in stems:
            raise DataError(
                f'{path}: shapes: expected a list, as in the other files of labelme, found none'
            )


def _picture(tree: Tree, path: Path, content: dict) -> Path:
    name = content.get('imagePath') or ''
    beside = [path.parent, path.parent.parent / 'images', tree.root]
    found = tree.picture(name, *beside) if isinstance(name, str) and name else None
    same = (p for p in tree.pictures if p.stem == path.stem)
    found = found or next(same, None)
    if found is None:
        raise DataError(
            f'{path}: imagePath: expected a picture of the folder, found {name!r:.80}, which is '
            'not there (pictures inside the JSON file, imageData, are not read)'
        )
    return found


def _objects(path: Path, shapes: list, size: tuple[int, int], count: Counter[str]) -> list[Object]:
    """The objects; polygons of one label and one group_id are parts of one."""
    found: list[Object] = []
    groups: dict[tuple[str, Any], Object] = {}
    for place, shape in enumerate(shapes):
        where = f'{path}: shapes[{place}]'
        shape = mapping(shape, where)
        entry = _object(shape, size, where, count)
        if entry is None:
            continue
        group = shape.get('group_id')
        first = groups.get((entry.label, group)) if isinstance(group, int | str) else None
        if first is not None and first.rings and entry.rings:
            first.rings += entry.rings
            first.box = box_of(first.rings)
            continue
        if isinstance(group, int | str):
            groups[entry.label, group] = entry
        found.append(entry)
    return found


def _object(shape: dict, size: tuple[int, int], where: str, count: Counter[str]) -> Object | None:
    label = text(shape.get('label'), f'{where}.label')
    kind = shape.get('shape_type') or 'polygon'
    points = shape.get('points')
    if not isinstance(points, list):
        raise DataError(f'{where}.points: expected a list of points, found {points!r:.60}')
    flat = [v for k, p in enumerate(points) for v in numbers(p, f'{where}.points[{k}]', 2)[:2]]
    extra = {'flags': shape['flags']} if shape.get('flags') else {}
    least = {'polygon': 3, 'rectangle': 2, 'circle': 2, 'mask': 2, 'oriented_rectangle': 4}
    if kind not in least:
        why = 'have no area' if kind in NO_AREA else 'are not read'
        count[f'shapes of type {str(kind)[:40]!r} {why}: left out'] += 1
        return None
    if len(points) < least[kind]:
        raise DataError(
            f'{where}.points: expected {least[kind]} points or more of a {kind}, found '
            f'{len(points)}'
        )
    if kind == 'mask':
        return _mask(shape, label, flat, size, where, extra)
    if kind == 'rectangle':
        xs, ys = flat[::2], flat[1::2]
        return Object(label, (min(xs), min(ys), max(xs), max(ys)), extra=extra, where=where)
    ring: Ring = flat
    if kind == 'circle':
        (x, y), (u, v) = flat[:2], flat[2:4]
        radius = math.hypot(u - x, v - y)
        ring = ellipse(x, y, radius, radius)
    return Object(label, box_of([ring]), [ring], extra=extra, where=where)


def _mask(
    shape: dict, label: str, flat: list[float], size: tuple[int, int], where: str, extra: dict
) -> Object:
    """An object of a PNG of its box, as labelme's tools for masks write it."""
    try:
        data = base64.b64decode(text(shape.get('mask'), f'{where}.mask'), validate=True)
        with Image.open(io.BytesIO(data)) as image:
            if image.width > size[1] or image.height > size[0]:
                raise DataError(f'{where}.mask: expected at most the size of the picture')
            inner = np.asarray(image.convert('L')) > 0
    except (binascii.Error, *PILLOW_FAULTS) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f'{where}.mask: expected a PNG in base64: {reason_of(error):.80}') from None
    x, y = round(flat[0]), round(flat[1])
    fits = x >= 0 and y >= 0 and y + inner.shape[0] <= size[0] and x + inner.shape[1] <= size[1]
    if not fits or not inner.any():
        raise DataError(f'{where}.mask: expected pixels within the picture, found none or others')
    whole = np.zeros(size, np.uint8, order='F')
    whole[y : y + inner.shape[0], x : x + inner.shape[1]] = inner
    code = coco_mask.encode(whole)
    left, top, width, height = coco_mask.toBbox(code).tolist()
    rle = {'size': list(size), 'counts': code['counts'].decode()}
    box = (left, top, left + width, top + height)
    return Object(label, box, rle=rle, extra=extra, where=where)


FORMAT = Format(
    'labelme',
    'a .json file with shapes for each picture',
    recognise,
    read,
    order=40,
)
