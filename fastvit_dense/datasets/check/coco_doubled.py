"""Objects that stand in a COCO file twice: entries, boxes, classes and pictures."""

import os
from collections import Counter
from collections.abc import Iterator

import numpy as np

from .findings import Finding

SAME_BOX = 0.95  # intersection over union of two boxes that are of one object
NEIGHBOURS = 50  # of a box, that it is compared with
# Share of the annotations from which on boxes of two classes that coincide are told: of COCO's
# 4,646 annotations in 546 photos one does so (a couch that is a bed, too).
TWO_CLASSES = 0.01


def placed_annotations(content: dict, path: str) -> Iterator[tuple[str, dict]]:
    """Yield each annotation of a file after where it stands and the picture that it is of."""
    names = {image['id']: image.get('file_name') for image in content['images']}
    for index, annotation in enumerate(content.get('annotations', ())):
        of = names.get(annotation['image_id'])
        about = f'id {annotation["id"]}, {of}' if of else f'id {annotation["id"]}'
        yield f'{path}: annotations[{index}] ({about})', annotation


def doubled_findings(content: dict, path: str) -> Iterator[Finding]:
    """Yield warnings of annotations that are of one object, and pictures under several ids.

    Args:
        content: A sound annotation file.
        path: What the findings call the file.
    """
    annotations = content['annotations']
    first_of: dict[tuple, dict] = {}
    single = []
    for index, (where, annotation) in enumerate(placed_annotations(content, path)):
        key = annotation['image_id'], annotation['category_id'], *annotation['bbox']
        other = first_of.setdefault(key, annotation)
        if other is annotation or annotation.get('segmentation') != other.get('segmentation'):
            single.append(index)
            continue
        message = f'expected an object of its own, found the same as id {other["id"]}'
        yield Finding('warning', 'doubled', where, message)
    near: list[tuple[int, int]] = []
    classes: list[tuple[int, int]] = []
    for a, b in coinciding_boxes([annotations[index] for index in single]):
        pair = single[a], single[b]
        one, other = (annotations[index]['category_id'] for index in pair)
        (near if one == other else classes).append(pair)
    if near:
        yield Finding(
            'warning',
            'doubled',
            path,
            f'{_count(near)} of {len(annotations)} annotations have a box that is nearly that of '
            f'another one of their class (intersection over union of {SAME_BOX} and more; first: '
            f'{_ids(annotations, near)}): is each object annotated once?',
        )
    if _count(classes) > TWO_CLASSES * len(annotations):
        names = {category['id']: category['name'] for category in content['categories']}
        pairs = Counter(
            tuple(sorted(names[annotations[i]['category_id']] for i in pair)) for pair in classes
        )
        (one, other), count = pairs.most_common(1)[0]
        yield Finding(
            'warning',
            'doubled',
            path,
            f'{_count(classes)} of {len(annotations)} annotations have the box of one of another '
            f'class (first: {_ids(annotations, classes)}), most often {one!r} and {other!r} '
            f'({count}): under two classes each object is learned and scored as two',
        )
    yield from _doubled_images(content, path)


@np.errstate(over='ignore', invalid='ignore')  # boxes that cannot be are told elsewhere
def coinciding_boxes(annotations: list[dict]) -> list[tuple[int, int]]:
    """Pairs of places, ascending, of annotations of one picture whose boxes coincide; no crowds.

    Each box is compared with the `NEIGHBOURS` that follow it from left to right.
    """
    places = np.array([i for i, a in enumerate(annotations) if not a.get('iscrowd')], int)
    if not len(places):
        return []
    boxes = np.array([annotations[i]['bbox'] for i in places], float)
    _, images = np.unique([annotations[i]['image_id'] for i in places], return_inverse=True)
    order = np.lexsort((boxes[:, 0], images))
    places, boxes, images = places[order], boxes[order], images[order]
    sides, corners = boxes[:, 2:], boxes[:, :2] + boxes[:, 2:]
    areas = sides.prod(1)
    # from left to right; a box that lies farther right than this does not coincide, nor do all
    # that follow it
    limits = boxes[:, 0] + (1 / SAME_BOX - 1) * sides[:, 0] + 1e-6
    found: list[tuple[int, int]] = []
    left = np.flatnonzero(areas > 0)
    step = 1
    while step <= NEIGHBOURS and len(left := left[left + step < len(places)]):
        right = left + step
        near = (images[left] == images[right]) & (boxes[right, 0] <= limits[left])
        left, right = left[near], right[near]
        shared = np.minimum(corners[left], corners[right]) - np.maximum(
            boxes[left, :2], boxes[right, :2]
        )
        overlap = shared.clip(0).prod(1)
        coincide = overlap >= SAME_BOX * (areas[left] + areas[right] - overlap)
        pairs = np.sort(np.stack([places[left[coincide]], places[right[coincide]]], axis=1), axis=1)
        found += map(tuple, pairs.tolist())
        step += 1
    return sorted(found)


def _count(pairs: list[tuple[int, int]]) -> int:
    """Number of annotations that have another one before them."""
    return len({second for _, second in pairs})


def _ids(annotations: list[dict], pairs: list[tuple[int, int]]) -> str:
    return ' and '.join(f'id {annotations[i]["id"]}' for i in pairs[0])


def _doubled_images(content: dict, path: str) -> Iterator[Finding]:
    names = Counter(
        os.path.normpath(name) for image in content['images'] if (name := image.get('file_name'))
    )
    for name, count in names.items():
        if count > 1:
            message = f'file_name {name!r} stands there under {count} ids'
            yield Finding('warning', 'doubled_image', f'{path}: images', message)
