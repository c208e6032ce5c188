"""COCO's format as tools export it: COCO's own folders, Roboflow's, CVAT's, Label Studio's."""

import mmap
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..values import is_box, is_integer, is_number
from .coco import FLAGS, make_whole
from .records import Format, Found, Object, Picture, box_of, once, split_of, unused_note
from .rle import rle_extent, rle_problem
from .tree import Tree, mapping, picture_size, text

LISTS = ('images', 'annotations', 'categories')
READ = {'id', 'image_id', 'category_id', 'bbox', 'segmentation', 'area', 'iscrowd', 'ignore'}


def annotation_files(tree: Tree) -> list[Path]:
    """The files with images, annotations with boxes or masks, and categories."""
    return [path for path in tree.of('.json') if _is_coco(tree, path)]


def _is_coco(tree: Tree, path: Path) -> bool:
    if path.stat().st_size == 0 or not path.is_file():
        return False
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        encoded = [key.encode('utf-8') for key in LISTS] if b'\0' not in text[:64] else []
        if any(text.find(b'"%b"' % key) < 0 for key in encoded):
            return False
    content = tree.json_or_none(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in LISTS):
        return False
    entry: Any = next(iter(content['annotations']), {'bbox': []})
    return isinstance(entry, dict) and not {'bbox', 'segmentation'}.isdisjoint(entry)


def recognise(tree: Tree) -> bool:
    """Tell whether there is such a file."""
    return bool(annotation_files(tree))


def read(tree: Tree) -> Found:
    """Read all files; of several for the same pictures that of instances."""
    notes: list[str] = []
    pictures: list[Picture] = []
    names: dict[str, None] = {}
    seen: dict[Path, Path] = {}
    tree.refuse_cut_json()
    files = _chosen(tree, notes)
    for path in files:
        content = tree.json(path)
        make_whole(content)
        categories = _categories(content, path, notes)
        names |= dict.fromkeys(categories.values())
        split = (
            split_of(*path.relative_to(tree.root).parts)
            if len(files) > 1 or _telling(tree, path)
            else None
        )
        for picture in _pictures(tree, path, content, categories, split, notes):
            once(seen, picture.path, path)
            pictures.append(picture)
        if not content['images']:
            notes.append(f'{path}: no picture in it')
    notes += unused_note(tree.pictures, seen, 'that no file names')
    return Found(FORMAT.name, tree.root, tuple(names), pictures, notes=list(dict.fromkeys(notes)))


def _telling(tree: Tree, path: Path) -> bool:
    """Tell whether the name of the only file tells a split that other files could complete."""
    return split_of(*path.relative_to(tree.root).parts) not in (None, 'train')


def _chosen(tree: Tree, notes: list[str]) -> list[Path]:
    """The annotation files, without those of keypoints beside those of instances."""
    files = annotation_files(tree)
    instances = [path for path in files if 'instances' in path.name]
    others = [path for path in files if 'keypoints' in path.name and instances]
    if others:
        notes.append(f'{", ".join(p.name for p in others)}: keypoints, left out')
    return [path for path in files if path not in others]


def _categories(content: dict, path: Path, notes: list[str]) -> dict[int, str]:
    """Names by id, without Roboflow's category that only heads the others."""
    found: dict[int, str] = {}
    heads = set()
    for place, entry in enumerate(content['categories']):
        where = f'{path}: categories[{place}]'
        entry = mapping(entry, where)
        if not is_integer(entry.get('id')):
            raise DataError(f'{where}.id: expected a whole number, found {entry.get("id")!r:.40}')
        if entry['id'] in found:
            raise DataError(f'{where}.id: expected an id of its own, found {entry["id"]} again')
        found[entry['id']] = text(entry.get('name'), f'{where}.name')
        heads.add(entry.get('supercategory'))
    used = {a.get('category_id') for a in content['annotations'] if isinstance(a, dict)}
    for key, entry in zip(list(found), content['categories'], strict=False):
        unused = key not in used and found[key] in heads and entry.get('supercategory') == 'none'
        if unused and len(found) > 1:
            notes.append(f'category {found[key]!r} heads the others and has no objects: left out')
            del found[key]
    twice = [name for name in found.values() if list(found.values()).count(name) > 1]
    if twice:
        raise DataError(f'{path}: categories: expected each name once, found {twice[0]!r} twice')
    return found


def _pictures(
    tree: Tree,
    path: Path,
    content: dict,
    categories: dict[int, str],
    split: str | None,
    notes: list[str],
) -> list[Picture]:
    folders = _folders(tree, path, split)
    by_id: dict[int, Picture] = {}
    missing = []
    for place, entry in enumerate(content['images']):
        where = f'{path}: images[{place}]'
        entry = mapping(entry, where)
        if not is_integer(entry.get('id')) or entry['id'] in by_id:
            raise DataError(
                f'{where}.id: expected a whole number of its own, found {entry.get("id")!r:.40}'
            )
        name = text(entry.get('file_name'), f'{where}.file_name')
        picture = tree.picture(name, *folders)
        if picture is None or not picture.is_file():  # a link may lead nowhere
            missing.append(name)
            continue
        by_id[entry['id']] = Picture(picture, _size(entry) or picture_size(picture), split)
    if missing:
        raise DataError(
            f'{path}: {len(missing)} of {len(content["images"])} pictures are not there: '
            f'{missing[0]!r} is in none of {", ".join(map(str, folders[:3]))}, ..., and no other '
            'folder has one picture of that name'
        )
    for place, entry in enumerate(content['annotations']):
        where = f'{path}: annotations[{place}]'
        entry = mapping(entry, where)
        owner = by_id.get(_key(entry, 'image_id', where))
        if owner is None:
            raise DataError(f'{where}.image_id: no picture has the id {entry["image_id"]}')
        label = categories.get(_key(entry, 'category_id', where))
        if label is None:
            raise DataError(f'{where}.category_id: no category has the id {entry["category_id"]}')
        owner.objects.append(_object(entry, label, owner.size, where))
        if isinstance(entry.get('attributes'), dict) and entry['attributes'].get('rotation'):
            notes.append('turned boxes (attribute "rotation") are read as the upright box around')
    return list(by_id.values())


def _size(entry: dict) -> tuple[int, int] | None:
    """Height and width that the file tells of a picture."""
    height, width = entry.get('height'), entry.get('width')
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None


def _key(entry: dict, name: str, where: str) -> int:
    if not is_integer(entry.get(name)):
        raise DataError(f'{where}.{name}: expected a whole number, found {entry.get(name)!r:.40}')
    return int(entry[name])


def _folders(tree: Tree, path: Path, split: str | None) -> list[Path]:
    """Folders in which the pictures of an annotation file may lie."""
    above = [path.parent, *(p for p in path.parents if p.is_relative_to(tree.root))]
    stem = path.stem.removeprefix('instances_')
    names = ['', stem, 'images', f'images/{stem}', 'images/default', 'data']
    if split:
        names += [split, f'images/{split}', f'{split}2017', f'{split}2014']
        names += ['valid', 'images/valid'] if split == 'val' else []
    return [folder / name if name else folder for folder in dict.fromkeys(above) for name in names]


def _object(entry: dict, label: str, size: tuple[int, int], where: str) -> Object:
    shape = entry.get('segmentation')
    rings, rle = [], None
    if isinstance(shape, dict):
        if problem := rle_problem(shape, size):
            raise DataError(f'{where}.segmentation{problem}')
        rle = shape
    elif shape:
        rings = _rings(shape, f'{where}.segmentation')
    for flag in FLAGS:
        if entry.get(flag) not in (None, 0, 1):
            raise DataError(f'{where}.{flag}: expected 0 or 1, found {entry[flag]!r:.40}')
    return Object(
        label,
        _box(entry, rings, rle, where),
        rings,
        rle,
        crowd=bool(entry.get('iscrowd')),
        ignore=bool(entry.get('ignore')),
        area=entry['area'] if is_number(entry.get('area')) and entry['area'] > 0 else None,
        extra={key: value for key, value in entry.items() if key not in READ},
        where=where,
    )


def _rings(shape: Any, where: str) -> list[list[float]]:
    if isinstance(shape, list) and all(map(is_number, shape)):  # one polygon, not in a list
        shape = [shape]
    if not isinstance(shape, list):
        raise DataError(f'{where}: expected polygons or a run-length code, found {shape!r:.60}')
    for place, ring in enumerate(shape):
        fits = isinstance(ring, list) and len(ring) >= 6 and len(ring) % 2 == 0
        if not fits or not all(map(is_number, ring)):
            raise DataError(
                f'{where}[{place}]: expected at least 3 points x, y, found {ring!r:.60}'
            )
    return shape


def _box(
    entry: dict, rings: list, rle: dict | None, where: str
) -> tuple[float, float, float, float]:
    if is_box(entry.get('bbox')):
        x, y, width, height = entry['bbox']
        return x, y, x + width, y + height
    if entry.get('bbox'):
        raise DataError(f'{where}.bbox: expected x, y, width, height, found {entry["bbox"]!r:.60}')
    extent = box_of(rings) if rings else rle_extent(rle) if rle else None
    if extent is None:
        raise DataError(f'{where}: expected a bbox or a segmentation, found neither')
    return extent


def nearly(tree: Tree) -> str | None:
    """Tell of files that CVAT and Label Studio write beside their COCO exports."""
    for path in tree.of('.xml'):
        with path.open('rb') as file:
            if b'<annotations' in file.read(1024):
                return f'{path} is of CVAT\'s own format: export it as "COCO 1.0"'
    for path in tree.of('.json'):
        content = tree.json_or_none(path)
        first = content[0] if isinstance(content, list) and content else None
        if isinstance(first, dict) and {'data', 'annotations'} <= first.keys():
            return f"{path} is of Label Studio's own format: export it as COCO"
        if isinstance(content, dict) and {'images', 'categories'} <= content.keys():
            kinds = [f'{key}: {type(content.get(key)).__name__}' for key in LISTS]
            return f'{path}: expected lists {", ".join(LISTS)}, found {", ".join(kinds)}'
    return None


FORMAT = Format(
    'COCO',
    'a .json file with lists of images, annotations and categories (COCO, Roboflow, CVAT, Label '
    'Studio)',
    recognise,
    read,
    order=10,
    nearly=nearly,
)
