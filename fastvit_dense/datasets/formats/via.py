"""VGG Image Annotator's format: one JSON or CSV file of regions, version 1 or 2."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from ...errors import DataError
from .records import Format, Found, Object, Picture, box_of, ellipse, split_of, unused_note
from .tree import Tree, mapping, number, numbers, picture_size, read_text, text

PROJECT = '_via_img_metadata'
# attributes that are taken for the class, the first that regions have
CLASS_KEYS = ('class', 'label', 'name', 'category', 'type', 'object', 'class_name')
NO_CLASS = 'object'  # where regions have no attributes
LEFT_OUT = ('point', 'polyline', 'line')
LOOKED_AT = 20


def annotation_files(tree: Tree) -> list[Path]:
    """The files with regions."""
    found = [p for p in tree.of('.json')[:LOOKED_AT] if _entries(tree.json_or_none(p)) is not None]
    for path in tree.of('.csv'):
        with path.open('rb') as file:
            if b'region_shape_attributes' in file.read(1024):
                found.append(path)
    return found


def recognise(tree: Tree) -> bool:
    """Tell whether there is such a file."""
    return bool(annotation_files(tree))


def _entries(content: Any) -> dict | None:
    """The entries of pictures of an annotation file; None: it is none."""
    if isinstance(content, dict) and isinstance(content.get(PROJECT), dict):
        return content[PROJECT]
    if not isinstance(content, dict) or not content:
        return None
    first = next(iter(content.values()))
    is_entry = isinstance(first, dict) and 'filename' in first and 'regions' in first
    return content if is_entry else None


def read(tree: Tree) -> Found:
    """Read all files."""
    count: Counter[str] = Counter()
    pictures: dict[Path, Picture] = {}
    entries = []
    tree.refuse_cut_json()
    for path in annotation_files(tree):
        content = _of_csv(path) if path.suffix.lower() == '.csv' else _entries(tree.json(path))
        entries += [(path, key, mapping(e, f'{path}: {key}')) for key, e in (content or {}).items()]
    regions = [
        (path, key, entry, _regions(entry, f'{path}: {key}')) for path, key, entry in entries
    ]
    class_key = _class_key(a for *_, listed in regions for a in listed)
    for path, key, entry, listed in regions:
        where = f'{path}: {key}'
        name = text(entry.get('filename'), f'{where}.filename')
        picture = tree.picture(name, path.parent, path.parent / 'images', tree.root)
        if picture is None:
            raise DataError(f'{where}.filename: no picture {name!r} in the folder')
        if picture not in pictures:
            split = split_of(*picture.relative_to(tree.root).parts[:-1]) or split_of(path.name)
            pictures[picture] = Picture(picture, picture_size(picture), split)
        for place, region in enumerate(listed):
            found = _object(region, class_key, f'{where}.regions[{place}]', count)
            if found:
                pictures[picture].objects.append(found)
    names = sorted({o.label for picture in pictures.values() for o in picture.objects})
    notes = [f'{n} {what}' for what, n in count.items()]
    notes += unused_note(tree.pictures, pictures, 'that no file names')
    notes.append(
        f'the class is the attribute {class_key!r} of regions'
        if class_key
        else f'regions have no attributes: all are of the class {NO_CLASS!r}'
    )
    return Found(FORMAT.name, tree.root, tuple(names), list(pictures.values()), notes=notes)


def _regions(entry: dict, where: str) -> list[dict]:
    regions = entry.get('regions')
    if isinstance(regions, dict):  # version 1
        regions = list(regions.values())
    if not isinstance(regions, list):
        raise DataError(f'{where}.regions: expected a list of regions, found {regions!r:.60}')
    return [mapping(region, f'{where}.regions[{k}]') for k, region in enumerate(regions)]


def _class_key(regions: Any) -> str | None:
    """The attribute of regions that names their class: a usual name, or that of most regions."""
    keys: Counter[str] = Counter()
    for region in regions:
        attributes = region.get('region_attributes')
        keys.update(map(str, attributes if isinstance(attributes, dict) else ()))
    known = [key for word in CLASS_KEYS for key in keys if key.lower() == word]
    return known[0] if known else keys.most_common(1)[0][0] if keys else None


def _object(region: dict, class_key: str | None, where: str, count: Counter[str]) -> Object | None:
    shape = mapping(region.get('shape_attributes'), f'{where}.shape_attributes')
    kind, at = shape.get('name'), f'{where}.shape_attributes'
    if kind in LEFT_OUT:
        count[f'regions of shape {kind!r} have no area: left out'] += 1
        return None
    label = _label(region.get('region_attributes') or {}, class_key, where)
    if kind == 'rect':
        x, y, w, h = (number(shape.get(k), f'{at}.{k}') for k in ('x', 'y', 'width', 'height'))
        return Object(label, (x, y, x + w, y + h), where=where)
    if kind in ('circle', 'ellipse'):
        radii = ('r', 'r') if kind == 'circle' else ('rx', 'ry')
        x, y, rx, ry = (number(shape.get(k), f'{at}.{k}') for k in ('cx', 'cy', *radii))
        ring = ellipse(x, y, rx, ry, number(shape.get('theta', 0), f'{at}.theta'))
    elif kind == 'polygon':
        xs = numbers(shape.get('all_points_x'), f'{at}.all_points_x', 3)
        ys = numbers(shape.get('all_points_y'), f'{at}.all_points_y', 3)
        if len(xs) != len(ys):
            raise DataError(f'{at}: expected as many x as y, found {len(xs)} and {len(ys)}')
        ring = [v for pair in zip(xs, ys, strict=True) for v in pair]
    else:
        raise DataError(
            f'{at}.name: expected rect, circle, ellipse, polygon, point or polyline, found '
            f'{kind!r:.40}'
        )
    return Object(label, box_of([ring]), [ring], where=where)


def _label(attributes: Any, class_key: str | None, where: str) -> str:
    if class_key is None:
        return NO_CLASS
    value = mapping(attributes, f'{where}.region_attributes').get(class_key)
    if isinstance(value, dict):  # of check boxes: the one that is set
        value = next((key for key, on in value.items() if on), None)
    return text(value, f'{where}.region_attributes.{class_key}')


def _of_csv(path: Path) -> dict[str, dict]:
    """The entries of a CSV file as those of a JSON file."""
    found: dict[str, dict] = {}
    for place, row in enumerate(csv.DictReader(read_text(path).splitlines())):
        where = f'{path}: line {place + 2}'
        name = text(row.get('filename') or row.get('#filename'), f'{where}: filename')
        entry = found.setdefault(name, {'filename': name, 'regions': []})
        region = {}
        for key in ('shape_attributes', 'region_attributes'):
            column = f'region_{key}' if key == 'shape_attributes' else key
            try:
                region[key] = json.loads(row.get(column) or '{}')
            except (ValueError, RecursionError):
                raise DataError(f'{where}: {column}: expected JSON, found it broken') from None
        if region['shape_attributes']:
            entry['regions'].append(region)
    return found


FORMAT = Format(
    'VIA',
    'a .json or .csv file of the VGG Image Annotator, with regions',
    recognise,
    read,
    order=35,
)
