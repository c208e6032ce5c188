"""Pascal VOC's format: an XML file for each picture, class masks and object masks beside them."""

import re
from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from pycocotools import mask as coco_mask

from ...errors import DataError
from ..decoding import TURNED, orientation_of
from ..mask_reading import IGNORED, read_mask
from .labelmap import read_labelmap
from .records import (
    Format,
    Found,
    MaskCode,
    Object,
    Picture,
    Ring,
    box_of,
    once,
    split_of,
    unused_note,
)
from .tree import Tree, number, picture_size, read_text, read_xml

# PASCAL VOC 2012, in the order of its class masks
VOC_CLASSES = (
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa'),
    *('train', 'tvmonitor'),
)
FLAGS = ('truncated', 'occluded', 'pose')  # of objects, kept as they are


def recognise(tree: Tree) -> bool:
    """Tell whether there is an XML file of a picture's objects."""
    path = next(iter(tree.of('.xml')), None)
    return path is not None and any(map(_is_annotation, tree.of('.xml')[:5]))


def _is_annotation(path: Path) -> bool:
    with path.open('rb') as file:
        return re.search(rb'<annotation[\s>]', file.read(1024).replace(b'\0', b'')) is not None


def read(tree: Tree) -> Found:
    """Read every XML file and the masks of its picture."""
    files = tree.of('.xml')
    stems = {picture.stem: picture for picture in tree.pictures if not _holds_masks(picture)}
    notes: list[str] = []
    splits = _split_lists(tree, notes)
    told_of: dict[Path, Path] = {}
    object_masks = _masks(tree, 'SegmentationObject')
    class_masks = _masks(tree, 'SegmentationClass')
    labelmap = read_labelmap(tree)
    roots = {path: _root(path) for path in files}
    shift = _one_based(roots)
    count: Counter[str] = Counter()
    pictures = []
    for path, root in roots.items():
        picture_path = _picture(tree, path, root, stems)
        once(told_of, picture_path, path)
        size = picture_size(picture_path)
        _check_size(path, root, picture_path, size)
        split = splits.get(path.stem) or split_of(*path.relative_to(tree.root).parts[:-1])
        found = [_object(e, path, k, shift, count) for k, e in enumerate(root.iter('object'))]
        if path.stem in object_masks:
            _add_masks(object_masks[path.stem], found, size, count)
        pictures.append(Picture(picture_path, size, split, found, class_masks.get(path.stem)))
    names, mask_classes, code = _classes(pictures, labelmap)
    notes += [f'{n} {what}' for what, n in count.items()]
    notes += unused_note(stems.values(), (p.path for p in pictures), 'without an XML file')
    beside = [p.path for p in pictures if splits and not p.split]
    if beside:
        notes.append(
            f'{len(beside)} pictures are in no list of ImageSets and are taken for training '
            f'({beside[0]})'
        )
    missing = sorted(splits.keys() - {p.path.stem for p in pictures})
    if missing:
        notes.append(f'{len(missing)} names of ImageSets have no XML file ({missing[0]})')
    if shift:
        notes.append('coordinates count from 1, as in PASCAL VOC (source.database): 1 is taken off')
    if not any(picture.mask for picture in pictures):
        mask_classes, code = (), None
    found_data = Found(FORMAT.name, tree.root, names, pictures, mask_classes, code, notes)
    return found_data


def _root(path: Path) -> Element:
    root = read_xml(path)
    if root.tag != 'annotation':
        raise DataError(f'{path}: expected <annotation>, found <{root.tag[:40]}>')
    return root


def _holds_masks(picture: Path) -> bool:
    return picture.parent.name.startswith('Segmentation')


def _split_lists(tree: Tree, notes: list[str]) -> dict[str, str]:
    """Split by the stem of a picture, from ImageSets; Main before Segmentation."""
    found: dict[str, str] = {}
    lists = [path for path in tree.of('.txt') if 'ImageSets' in path.parts]
    for path in sorted(lists, key=lambda p: (p.parent.name != 'Main', p)):
        if path.stem in ('train', 'val', 'test'):
            lines = read_text(path).splitlines()
            if not any(map(str.strip, lines)):
                notes.append(f'{path}: no picture in it')
            for line in lines:
                if words := line.split():
                    first = found.setdefault(Path(words[0]).stem, path.stem)
                    if first != path.stem:
                        notes.append(f'{path}: {words[0]} is in {first}, too, and stays there')
    return found


def _masks(tree: Tree, folder: str) -> dict[str, Path]:
    return {p.stem: p for p in tree.of('.png') if p.parent.name == folder}


def _one_based(roots: dict[Path, Element]) -> float:
    """1 where the files say that they are PASCAL VOC's, whose first pixel is 1; else 0."""
    said = [(root.findtext('source/database') or '') for root in roots.values()]
    named = all('VOC' in text.upper() and 'ROBOFLOW' not in text.upper() for text in said)
    return 1.0 if said and named else 0.0


def _picture(tree: Tree, path: Path, root: Element, stems: dict[str, Path]) -> Path:
    name = (root.findtext('filename') or '').strip()
    beside = [path.parent, path.parent.parent / 'JPEGImages', path.parent.parent / 'images']
    beside += [path.parent.parent, tree.root]
    picture = tree.picture(name, *beside) if name else None
    picture = picture or stems.get(path.stem)
    if picture is None:
        raise DataError(
            f'{path}: filename: expected a picture of the folder, found {name!r}, which is not '
            f'there, and no picture named {path.stem}'
        )
    return picture


def _check_size(path: Path, root: Element, picture: Path, size: tuple[int, int]) -> None:
    """See that a file tells the size of its picture; some tools swap width and height."""
    said = root.findtext('size/height'), root.findtext('size/width')
    if None in said:
        return
    height, width = (number(value, f'{path}: size') for value in said)
    if height and width and (height, width) not in (size, size[::-1]):
        raise DataError(
            f'{path}: size: expected {size[1]} x {size[0]}, as the picture has, found '
            f'{width:g} x {height:g}'
        )
    if (height, width) == size[::-1] != size and (code := orientation_of(picture)) in TURNED:
        raise DataError(
            f'{path}: size: expected {size[1]} x {size[0]}, as {picture.name} is seen, found '
            f'{width:g} x {height:g}: it was annotated without its EXIF orientation, {code}'
        )


def _object(entry: Element, path: Path, place: int, shift: float, count: Counter[str]) -> Object:
    where = f'{path}: object[{place}]'
    name = (entry.findtext('name') or '').strip()
    if not name:
        raise DataError(f'{where}.name: expected a class, found none')
    rings = [ring] if (ring := _polygon(entry, where, shift)) else []
    box = entry.find('bndbox')
    if box is None and not rings:
        raise DataError(f'{where}: expected a bndbox or a polygon, found neither')
    corners = box_of(rings) if box is None else _corners(box, where, shift)
    difficult = (entry.findtext('difficult') or '0').strip() in ('1', 'true', 'True')
    extra = {flag: t.strip() for flag in FLAGS if (t := entry.findtext(flag))}
    if difficult:
        count['difficult objects are left out of training (ignore=1)'] += 1
        extra['difficult'] = '1'
    return Object(name, corners, rings, ignore=difficult, extra=extra, where=where)


def _corners(box: Element, where: str, shift: float) -> tuple[float, float, float, float]:
    sides = ('xmin', 'ymin', 'xmax', 'ymax')
    x0, y0, x1, y1 = (number(box.findtext(s), f'{where}.bndbox.{s}') for s in sides)
    if x1 < x0 or y1 < y0:
        raise DataError(
            f'{where}.bndbox: expected xmin <= xmax and ymin <= ymax, found {x0:g} {y0:g} {x1:g} '
            f'{y1:g}'
        )
    return x0 - shift, y0 - shift, x1, y1  # the last pixel is inside: its far edge


def _polygon(entry: Element, where: str, shift: float) -> Ring:
    """The corners x1, y1, x2, y2, ... of an object."""
    polygon = entry.find('polygon')
    if polygon is None:
        return []
    ring: Ring = []
    for k in range(1, len(polygon) // 2 + 1):
        for axis in 'xy':
            name = f'{axis}{k}'
            ring.append(number(polygon.findtext(name), f'{where}.polygon.{name}') - shift)
    if len(ring) < 6:
        raise DataError(f'{where}.polygon: expected 3 corners or more, found {len(ring) // 2}')
    return ring


def _add_masks(path: Path, found: list[Object], size: tuple[int, int], count: Counter[str]) -> None:
    """Give the objects their masks: value k of the mask is the k-th object."""
    mask = read_mask(str(path))
    if mask.shape != size:
        raise DataError(
            f'{path}: expected {size[1]} x {size[0]} pixels as the picture has, found '
            f'{mask.shape[1]} x {mask.shape[0]}'
        )
    last = int(mask[mask != IGNORED].max(initial=0))
    if last > len(found):
        raise DataError(
            f'{path}: expected values up to {len(found)}, the objects of the XML file, and 255, '
            f'found {last}'
        )
    for value, entry in enumerate(found, 1):
        pixels = np.asfortranarray(mask == value)
        if not pixels.any():
            count['objects have no pixel in their object mask: their box alone is read'] += 1
            continue
        code = coco_mask.encode(pixels.astype(np.uint8))
        entry.rle = {'size': list(size), 'counts': code['counts'].decode()}
        entry.rings = []


def _classes(
    pictures: list[Picture], labelmap: dict[tuple[int, int, int], str] | None
) -> tuple[tuple[str, ...], tuple[str, ...], MaskCode | None]:
    """Classes of the objects, those of the masks, and how masks are read."""
    used = {entry.label for picture in pictures for entry in picture.objects}
    if labelmap:
        names = tuple(dict.fromkeys(labelmap.values()))
        objects = tuple(n for n in names if n in used or n.lower() != 'background')
        rest = tuple(sorted(used - set(names)))
        code = {color: names.index(name) for color, name in labelmap.items()}
        return objects + rest, names, code
    if used <= set(VOC_CLASSES):
        order = tuple(n for n in VOC_CLASSES if n in used)
        code_by_value: MaskCode = {k: k for k in range(len(VOC_CLASSES) + 1)}
        return order, ('background', *VOC_CLASSES), code_by_value
    return tuple(sorted(used)), (), None


FORMAT = Format(
    'Pascal VOC',
    'an .xml file for each picture, with <annotation> and <object>',
    recognise,
    read,
    order=30,
)
