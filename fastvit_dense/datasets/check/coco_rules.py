"""Rules for COCO annotation files: one book for checking, reading and scoring.

`structure_findings` tells what cannot be read; `plausibility_findings` what can be read but cannot
be meant.
"""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from typing import Any

from ..decoding import OPENCV_PIXELS
from ..formats.coco import FLAGS
from ..formats.rle import rle_extent, rle_problem
from ..formats.slips import (
    MOST_OUTSIDE,
    Extent,
    area_of,
    has_area,
    share_outside,
    shared_area,
)
from ..values import is_box, is_integer, is_number
from .coco_areas import odd_areas
from .coco_doubled import doubled_findings, placed_annotations
from .findings import Finding

FIELDS: dict[str, dict[str, type]] = {
    'images': {'id': int, 'height': int, 'width': int},
    'annotations': {'id': int, 'image_id': int, 'category_id': int, 'bbox': list},
    'categories': {'id': int, 'name': str},
}
LONGEST_SIDE = 1 << 20  # of a picture that OpenCV reads; masks of larger ones take the memory
ROUNDING = 0.5  # pixels that a box may stand out without a word
LEAST_OVERLAP = 0.5  # intersection over union of the extents of mask and box
# Official files hold a few damaged entries, which mmdet leaves out (COCO train2017: 2 boxes of no
# area among 860 001). Up to this share of the annotations they are warnings.
TOLERATED = 1e-4
TOLERATED_KINDS = ('box_without_area', 'area')
MANY_MISMATCHES = 0.1  # share of the masks from which on it is an error that they miss their boxes


def structure_findings(
    content: dict,
    path: str,
    *,
    with_masks: bool,
    with_files: bool = True,
    of: Container[int] | None = None,
) -> list[Finding]:
    """Tell what keeps an annotation file from being read, entry by entry.

    Args:
        content: From `read_coco`.
        path: What the findings call the file.
        with_masks: Every annotation needs a mask.
        with_files: Every image needs the name of its file.
        of: Category ids of annotations that are used, whose masks count; None: all.
    """
    fields = {group: dict(types) for group, types in FIELDS.items()}
    if with_files:
        fields['images']['file_name'] = str
    found = [
        Finding('error', 'field', f'{path}: {group}[{index}]', problem)
        for group, types in fields.items()
        for index, entry in enumerate(content.get(group, ()))
        if (problem := _field_problem(entry, types))
    ]
    if found:
        return found
    for group in fields:
        found += _repeated(content.get(group, ()), path, group, 'id', 'duplicate_id')
    found += _repeated(content['categories'], path, 'categories', 'name', 'duplicate_name')
    sizes = sizes_of(content)
    categories = {category['id'] for category in content['categories']}
    for where, annotation in placed_annotations(content, path):
        fault = _reference_problem(annotation, sizes, categories) or _value_problem(annotation)
        if fault is None and with_masks and _counts(annotation, of):
            size = sizes[annotation['image_id']]
            broken = mask_problem(annotation.get('segmentation'), size)
            fault = ('mask', broken) if broken else None
        if fault:
            found.append(Finding('error', fault[0], where, fault[1]))
    return found


def _counts(annotation: dict, of: Container[int] | None) -> bool:
    return of is None or annotation['category_id'] in of


def sizes_of(content: dict) -> dict[int, tuple[int, int]]:
    """Image id -> height and width."""
    return {image['id']: (image['height'], image['width']) for image in content['images']}


def _field_problem(entry: Any, types: dict[str, type]) -> str | None:
    if not isinstance(entry, dict):
        return f'expected an object, found {entry!r:.60}'
    for name, kind in types.items():
        if name not in entry:
            return f'expected the field {name!r}, found only {", ".join(map(repr, entry))}'
        if not isinstance(entry[name], kind) or isinstance(entry[name], bool):
            expected = 'a whole number (int)' if kind is int else kind.__name__
            return f'{name}: expected {expected}, found {entry[name]!r:.60}'
        if name.endswith('id') and not is_integer(entry[name]):
            return f'{name}: expected at most 64 bits, found {entry[name]!r:.60}'
        if kind is str and not entry[name].strip():
            return f'{name}: expected a name, found {entry[name]!r}'
        if name in ('height', 'width') and not 1 <= entry[name] <= LONGEST_SIDE:
            return f'{name}: expected 1 to {LONGEST_SIDE} pixels, found {entry[name]!r:.60}'
    if 'height' in types and entry['height'] * entry['width'] > OPENCV_PIXELS:
        found = f'{entry["width"]}x{entry["height"]}'
        return f'width: expected a picture of at most {OPENCV_PIXELS} pixels, found {found}'
    return None


def _repeated(
    entries: Sequence[dict], path: str, group: str, key: str, kind: str
) -> Iterator[Finding]:
    for value, count in Counter(entry[key] for entry in entries).items():
        if count > 1:
            message = f'{key} {value!r} stands there {count} times'
            yield Finding('error', kind, f'{path}: {group}', message)


def _reference_problem(
    annotation: dict, images: dict[int, Any], categories: set[int]
) -> tuple[str, str] | None:
    """(kind, message) where an annotation belongs to no image or no category of the file."""
    image, category = annotation['image_id'], annotation['category_id']
    if image not in images:
        return 'unknown_image', f'image_id: expected the id of an image, found {image!r}'
    if category not in categories:
        return (
            'unknown_category',
            f'category_id: expected one of {_some(categories)}, found {category}',
        )
    return None


def _some(values: set[int]) -> str:
    shown = sorted(values)
    return ', '.join(map(str, shown[:10])) + (', ...' if len(shown) > 10 else '')


def _value_problem(annotation: dict) -> tuple[str, str] | None:
    """(kind, message) where a box, an area or a flag is none."""
    box, area = annotation['bbox'], annotation.get('area')
    if not is_box(box):
        return 'box', f'bbox: expected four finite numbers x, y, width, height, found {box!r:.80}'
    if not is_number(area):
        filled = '; fastvit-dense convert-data FOLDER OUT fills it in' if area is None else ''
        return 'area', f'area: expected a number above 0, found {area!r:.60}{filled}'
    for flag in FLAGS:
        value = annotation.get(flag, 0)
        if not is_integer(value) or value not in (0, 1):
            kind = flag.removeprefix('is')
            return kind, f'{flag}: expected 0 or 1 (false or true), found {value!r:.60}'
    return None


def mask_problem(mask: Any, size: tuple[int, int]) -> str | None:
    """Tell in words what keeps a `segmentation` from being a mask.

    Args:
        mask: Polygons [[x, y, x, y, ...], ...] of three points and more, or a run-length code.
        size: Height and width of the image.
    """
    if isinstance(mask, dict):
        fault = rle_problem(mask, size)
        return f'segmentation{fault}' if fault else None
    if not isinstance(mask, list) or not mask:
        boxes = '' if mask else '; on boxes alone fasterrcnn_fastvit_* and its kin train'
        return f'segmentation: expected polygons or RLE, found {mask!r:.60}{boxes}'
    for index, polygon in enumerate(mask):
        if not isinstance(polygon, list) or not all(map(is_number, polygon)):
            expected = 'expected a list of finite numbers'
            return f'segmentation[{index}]: {expected}, found {polygon!r:.80}'
        if len(polygon) < 6 or len(polygon) % 2:
            expected = 'expected at least 3 points x, y'
            return f'segmentation[{index}]: {expected}, found {len(polygon)} numbers'
        if max(map(abs, polygon)) > LONGEST_SIDE:  # drawing it would take all memory
            expected = f'corners within {LONGEST_SIDE} pixels of the picture'
            return f'segmentation[{index}]: expected {expected}, found {polygon!r:.80}'
    return None


def plausibility_findings(
    content: dict, path: str, *, with_masks: bool, of: Container[int] | None = None
) -> list[Finding]:
    """Tell what an annotation file that can be read cannot mean.

    Args:
        content: Without `structure_findings`.
        path: What the findings call the file.
        with_masks: Judge the masks as well.
        of: Category ids of annotations that are used, the others are not judged; None: all.
    """
    sizes = sizes_of(content)
    faults: list[tuple[str, str, str]] = []
    standing_out: list[tuple[float, str]] = []
    mismatches: list[tuple[str, str]] = []
    for where, annotation in placed_annotations(content, path):
        if not _counts(annotation, of):
            continue
        size = sizes[annotation['image_id']]
        fault = _box_fault(annotation, size)
        extent = mask_extent(annotation['segmentation']) if with_masks else None
        if fault is None and extent:
            fault = _outside_fault(extent, size, 'segmentation')
        if fault:
            faults.append((where, *fault))
            continue
        x, y, w, h = annotation['bbox']
        box = (x, y, x + w, y + h)
        stands_out = max(_standing_out(e, size) for e in (box, extent) if e)
        if stands_out > ROUNDING:
            standing_out.append((stands_out, where))
        if with_masks and min(w, h) >= 1 and _overlap(box, extent) < LEAST_OVERLAP:
            mismatches.append((where, _mismatch(box, extent)))
    count = len(content['annotations'])
    empty = sum(kind in TOLERATED_KINDS for _, kind, _ in faults)
    few = empty <= TOLERATED * count
    found = [
        Finding('warning' if few and kind in TOLERATED_KINDS else 'error', kind, where, message)
        for where, kind, message in faults
    ]
    if standing_out:
        far, where = max(standing_out)
        message = (
            f'{len(standing_out)} boxes or polygons leave their picture, the farthest by '
            f'{far:.1f} pixels ({where.removeprefix(f"{path}: ")}): they are clipped'
        )
        found.append(Finding('warning', 'outside', path, message))
    severity = 'error' if len(mismatches) >= MANY_MISMATCHES * count else 'warning'
    found += [Finding(severity, 'mask_box_mismatch', *mismatch) for mismatch in mismatches]
    if not faults:
        found += odd_areas(content, path)
    return found + list(doubled_findings(content, path))


def _box_fault(annotation: dict, size: tuple[int, int]) -> tuple[str, str] | None:
    """(kind, message) where the box or the area of an annotation cannot be meant."""
    x, y, w, h = box = annotation['bbox']
    if w <= 0 or h <= 0:
        return (
            'box_without_area',
            f'bbox: expected a width and a height above 0, found {box}; COCO boxes are '
            'x, y, width, height',
        )
    if annotation['area'] <= 0:
        return 'area', f'area: expected a number above 0, found {annotation["area"]!r}'
    return _outside_fault((x, y, x + w, y + h), size, 'bbox')


def _outside_fault(extent: Extent, size: tuple[int, int], field: str) -> tuple[str, str] | None:
    height, width = size
    outside = share_outside(extent, size)
    if outside <= MOST_OUTSIDE:
        return None
    left, top, right, bottom = extent
    found = [left, top, right - left, bottom - top] if field == 'bbox' else list(extent)
    form = 'x, y, width, height' if field == 'bbox' else 'corners'
    return (
        'outside',
        f'{field}: expected {form} inside {width}x{height} pixels, found {found}, '
        f'{outside:.0%} of it outside',
    )


def _standing_out(extent: Extent, size: tuple[int, int]) -> float:
    left, top, right, bottom = extent
    return max(-left, -top, right - size[1], bottom - size[0])


def mask_extent(mask: list | dict) -> Extent | None:
    """The box of a sound mask, in pixels; None: it is empty."""
    if isinstance(mask, dict):
        return rle_extent(mask)
    full = [polygon for polygon in mask if has_area(polygon)]
    if not full:
        return None
    xs = [x for polygon in full for x in polygon[::2]]
    ys = [y for polygon in full for y in polygon[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def _overlap(box: Extent, extent: Extent | None) -> float:
    """Intersection over union of two extents."""
    if extent is None:
        return 0.0
    shared = shared_area(box, extent)
    return shared / (area_of(box) + area_of(extent) - shared)


def _mismatch(box: Extent, extent: Extent | None) -> str:
    corners = ', '.join(f'{v:.6g}' for v in box)
    if extent is None:
        found = 'found an empty one'
    else:
        found = f'found one from {", ".join(f"{v:.4g}" for v in extent)}'
    edges = 'left, top, right, bottom'
    return f'segmentation: expected a mask where the box is ({corners}: {edges}), {found}'
