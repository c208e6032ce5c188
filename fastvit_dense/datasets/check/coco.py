"""Checks of a dataset in COCO's format: the annotation file, its entries, the images."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..loading import MAX_BROKEN_IMAGES, check_size, read_image
from .common import DatasetCheck, existing_files, expected_names

IMAGE_FIELDS = {
    'id': (int, str),
    'file_name': str,
    'height': (int, float),
    'width': (int, float),
}
SCORED_IMAGE_FIELDS = {'id': int, 'file_name': str, 'height': int, 'width': int}  # InstanceMetric's
ANNOTATION_FIELDS = {'id': (int, str), 'image_id': (int, str), 'category_id': int, 'bbox': list}
CATEGORY_FIELDS = {'id': int, 'name': str}
SLACK = 2.0  # pixels that a box may stand out: annotation tools round
# Official files hold a few damaged entries, which mmdet leaves out (COCO train2017: 2 boxes of no
# area among 860 001). Up to this share of the annotations they are warnings.
TOLERATED = 1e-4


def check_coco(check: DatasetCheck) -> None:
    """Check a `CocoDataset`; `check` says which one and takes the findings."""
    path = Path(check.built.ann_file)
    folder = Path(check.built.data_prefix.get('img', ''))
    check.report.sources[check.split] = f'{check.kind}, {path}, images in {folder}'
    if not check.found_on_disk(path, 'annotation file'):
        return
    try:
        content = read_coco(path)
    except DataError as error:
        check.error('annotation file', str(error))
        return
    unlabelled = check.split == 'test' and not content.get('annotations')
    if unlabelled:
        check.warning('no ground truth', f'{path}: no annotations: predictions only, no scores')
        content['annotations'] = []
    if not _check_entries(check, path, content, unlabelled):
        return
    _check_categories(check, path, content)
    if not unlabelled:
        _check_annotations(check, path, content)
    check.report.counts[check.split] = _counts(content)
    names = {c['id']: c['name'] for c in content['categories']}
    found = Counter(names.get(a['category_id']) for a in content['annotations'])
    check.report.classes[check.split] = {
        name: found[name] for name in check.classes or names.values()
    }
    _check_images(check, path, folder, content['images'])


def read_coco(path: Path) -> dict[str, Any]:
    """Read an annotation file.

    Raises:
        DataError: It is empty, no JSON, cut off, or not an object with lists of `images` and
            `categories`.
    """
    if not path.stat().st_size:
        raise DataError(f'{path}: expected JSON, found an empty file (0 bytes)')
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(
            f'{path}: expected JSON, found it broken or truncated: {error} '
            f'(the file has {path.stat().st_size} bytes)'
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f'{path}: expected an object with images, annotations and categories, found a '
            f'{type(content).__name__}'
        )
    for key in ('images', 'annotations', 'categories'):
        if key == 'annotations' and key not in content:
            continue
        if not isinstance(content.get(key), list):
            found = type(content[key]).__name__ if key in content else f'only {", ".join(content)}'
            raise DataError(f'{path}: expected a list {key!r}, found {found}')
    return content


def _check_entries(check: DatasetCheck, path: Path, content: dict, unlabelled: bool) -> bool:
    """Tell whether every entry has its fields, with the right types, and an id of its own."""
    fields = {
        'images': IMAGE_FIELDS if check.split == 'train' else SCORED_IMAGE_FIELDS,
        'annotations': ANNOTATION_FIELDS,
        'categories': CATEGORY_FIELDS,
    }
    before = len(check.report.findings)
    if 'annotations' not in content:
        check.error('annotation file', f"{path}: expected a list 'annotations', found none")
        return False
    for group, types in fields.items():
        if not content[group] and not (unlabelled and group == 'annotations'):
            check.error('empty list', f'{path}: expected entries in {group!r}, found an empty list')
        for index, entry in enumerate(content[group]):
            problem = _field_problem(entry, types)
            if problem:
                check.error('field', f'{path}: {group}[{index}]: {problem}')
    if len(check.report.findings) > before:
        return False
    for group in fields:
        _check_unique(check, path, group, 'id', content[group])
    _check_unique(check, path, 'categories', 'name', content['categories'])
    return True


def _field_problem(entry: Any, types: dict[str, Any]) -> str | None:
    if not isinstance(entry, dict):
        return f'expected an object, found {entry!r}'
    for name, kind in types.items():
        if name not in entry:
            return f'expected the field {name!r}, found only {", ".join(map(repr, entry))}'
        if not isinstance(entry[name], kind) or isinstance(entry[name], bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            expected = ' or '.join(k.__name__ for k in kinds)
            return f'{name}: expected {expected}, found {entry[name]!r}'
    return None


def _check_unique(check: DatasetCheck, path: Path, group: str, key: str, entries: list) -> None:
    for value, count in Counter(entry[key] for entry in entries).items():
        if count > 1:
            check.error(
                f'duplicate {key}', f'{path}: {group}: {key} {value!r} stands there {count} times'
            )


def _check_categories(check: DatasetCheck, path: Path, content: dict) -> None:
    """Compare the file's category names with the config's classes."""
    names = [category['name'] for category in content['categories']]
    if not check.classes:
        return
    unknown = [name for name in check.classes if name not in names]
    if unknown:
        check.error(
            'classes',
            f"{path}: categories: expected the config's classes {expected_names(unknown, names)}",
        )
        return
    extra = [name for name in names if name not in check.classes]
    if extra:
        ids = {c['id'] for c in content['categories'] if c['name'] in extra}
        count = sum(a['category_id'] in ids for a in content['annotations'])
        message = (
            f"{path}: categories: {', '.join(map(repr, extra))} are not among the config's "
            f'classes: {count} annotations are left out'
        )
        if (check.settings.get('metainfo') or {}).get('classes'):
            check.warning('classes', message)
        else:
            check.error('classes', f'{message}; set metainfo.classes of the dataset')
    # mmdet numbers the classes in the file's order, whatever their order in the config
    in_file = [name for name in names if name in check.classes]
    for label, (wanted, found) in enumerate(zip(check.classes, in_file, strict=False)):
        if wanted != found:
            check.error(
                'classes',
                f"{path}: categories: expected the order of the config's classes, found label "
                f'{label} to be {found!r} in the file and {wanted!r} in the config; order '
                'metainfo.classes as in the file',
            )
            return


def _check_annotations(check: DatasetCheck, path: Path, content: dict) -> None:
    with_masks = any(step.get('with_mask') for step in check.steps)
    sizes = {image['id']: (image['width'], image['height']) for image in content['images']}
    categories = {category['id'] for category in content['categories']}
    problems: list[tuple[str, str]] = []
    for index, annotation in enumerate(content['annotations']):
        problem = _reference_problem(annotation, sizes, categories)
        if problem is None:
            size = sizes[annotation['image_id']]
            problem = _box_problem(annotation, size) or _mask_problem(annotation, size, with_masks)
        if problem:
            entry = f'{path}: annotations[{index}] (id {annotation["id"]})'
            problems.append((problem[0], f'{entry}: {problem[1]}'))
    few = len(problems) <= TOLERATED * len(content['annotations'])
    for kind, message in problems:
        tolerated = few and not kind.startswith('unknown')
        check.report.add(check.split, 'warning' if tolerated else 'error', kind, message)


def _reference_problem(annotation: dict, images: dict, categories: set) -> tuple[str, str] | None:
    """(kind, message) where an annotation belongs to no image or no category of the file."""
    image, category = annotation['image_id'], annotation['category_id']
    if image not in images:
        return 'unknown image', f'image_id: expected the id of an image, found {image!r}'
    if category not in categories:
        return (
            'unknown category',
            f'category_id: expected one of {_some(categories)}, found {category}',
        )
    return None


def _some(values: set) -> str:
    shown = sorted(values)
    return ', '.join(map(str, shown[:10])) + (', ...' if len(shown) > 10 else '')


def _box_problem(annotation: dict, size: tuple[int, int]) -> tuple[str, str] | None:
    """(kind, message) where the box or the area of an annotation cannot be."""
    box, (width, height) = annotation['bbox'], size
    if len(box) != 4 or not _are_numbers(box):
        return 'box', f'bbox: expected four finite numbers x, y, width, height, found {box}'
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return 'box of no area', f'bbox: expected a width and a height above 0, found {box}'
    if x < -SLACK or y < -SLACK or x + w > width + SLACK or y + h > height + SLACK:
        return (
            'box outside the image',
            f'bbox: expected x, y, width, height inside {width}x{height} pixels, found {box}',
        )
    if not _are_numbers([annotation.get('area')]) or annotation['area'] <= 0:
        return 'area', f'area: expected a number above 0, found {annotation.get("area")!r}'
    return None


def _mask_problem(annotation: dict, size: tuple[int, int], needed: bool) -> tuple[str, str] | None:
    """(kind, message) where the segmentation of an annotation cannot be decoded."""
    mask = annotation.get('segmentation')
    if not mask and not needed:
        return None
    if isinstance(mask, dict):
        problem = _rle_problem(mask, size)
    elif isinstance(mask, list) and mask:
        problem = _polygon_problem(mask)
    else:
        problem = f': expected polygons or RLE, found {mask!r}'
    return ('mask', f'segmentation{problem}') if problem else None


def _polygon_problem(polygons: list) -> str | None:
    for index, polygon in enumerate(polygons):
        if not isinstance(polygon, list) or not _are_numbers(polygon):
            return f'[{index}]: expected a list of finite numbers, found {polygon!r}'
        if len(polygon) < 6 or len(polygon) % 2:
            return f'[{index}]: expected at least 3 points x, y, found {len(polygon)} numbers'
    return None


def _rle_problem(rle: dict, size: tuple[int, int]) -> str | None:
    expected = [size[1], size[0]]
    if rle.get('size') != expected:
        return f'.size: expected {expected} (height, width), found {rle.get("size")}'
    counts, total = rle.get('counts'), None
    if isinstance(counts, str):
        total = rle_length(counts)
    elif isinstance(counts, list) and _are_numbers(counts) and min(counts, default=0) >= 0:
        total = sum(counts)
    if total != size[0] * size[1]:
        found = 'broken ones' if total is None else f'{total}'
        return f'.counts: expected runs of {size[0] * size[1]} pixels in all, found {found}'
    return None


def rle_length(counts: str) -> int | None:
    """Number of pixels that a compressed RLE string of COCO's describes; None: it is broken.

    Six bits a character, five of them value, the sixth "goes on"; from the third run on the
    difference to the run before the previous one is stored (cocoapi, `maskApi.c`).
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    return sum(runs) if shift == 0 and all(run >= 0 for run in runs) else None


def _are_numbers(values: list) -> bool:
    """Tell whether all are finite numbers; their sum tells, quickly."""
    try:
        return math.isfinite(sum(values))
    except TypeError:
        return False


def _counts(content: dict) -> dict[str, int]:
    labelled = {annotation['image_id'] for annotation in content['annotations']}
    return {
        'images': len(content['images']),
        'annotations': len(content['annotations']),
        'crowds': sum(bool(a.get('iscrowd')) for a in content['annotations']),
        'images without ground truth': sum(i['id'] not in labelled for i in content['images']),
    }


def _check_images(check: DatasetCheck, path: Path, folder: Path, images: list[dict]) -> None:
    """Tell whether the images are there and, in the full check, whether each can be read."""
    if not check.found_on_disk(folder, 'image folder'):
        return
    there = existing_files([folder / image['file_name'] for image in images])
    present: list[dict] = []
    missing: list[dict] = []
    for image in images:
        (present if folder / image['file_name'] in there else missing).append(image)
    skipped = check.split == 'train' and len(missing) <= MAX_BROKEN_IMAGES
    severity = 'warning' if skipped and not check.read_files else 'error'
    for image in missing:
        check.report.add(
            check.split,
            severity,
            'image missing',
            f'{folder / image["file_name"]}: expected the image with id {image["id"]} of {path}, '
            'found no such file',
        )

    def examine(image: dict) -> str | None:
        file = str(folder / image['file_name'])
        try:
            check_size(file, read_image(file).shape[:2], image)
        except DataError as error:
            return str(error)
        return None

    if check.read_files:
        for message in check.examine(examine, present):
            check.error('broken image', message)
