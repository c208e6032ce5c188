"""Areas in a COCO file that do not go with their boxes: by them objects are small or large."""

from collections.abc import Iterator

from .coco_doubled import placed_annotations
from .findings import Finding

MOST_OF_BOX = 1.5  # of the area of the box; COCO's own are at most 1.0
LEAST_OF_BOX = 0.02
MANY_SMALL = 0.1  # share of the annotations from which on areas below that are told


def odd_areas(content: dict, path: str) -> Iterator[Finding]:
    """Yield a warning of areas larger than their boxes, or of many that are far smaller.

    Args:
        content: A sound annotation file.
        path: What the finding calls the file.
    """
    larger: list[str] = []
    smaller: list[str] = []
    for where, annotation in placed_annotations(content, path):
        _, _, width, height = annotation['bbox']
        area, of_box = annotation['area'], width * height
        if min(width, height) < 1 or area <= 0:
            continue  # told elsewhere
        if not LEAST_OF_BOX * of_box <= area <= MOST_OF_BOX * of_box:
            told = f'{where.removeprefix(f"{path}: ")}: {area:.6g}, its box {of_box:.6g}'
            (larger if area > of_box else smaller).append(told)
    if len(smaller) < MANY_SMALL * len(content['annotations']):
        smaller = []
    for odd, words in ((larger, 'an area larger than their box'), (smaller, 'hardly any area')):
        if odd:
            message = (
                f'{len(odd)} of {len(content["annotations"])} annotations have {words} ({odd[0]}); '
                'area is in pixels of the picture, and tells small objects from large ones in '
                'scores; fastvit-dense convert-data FOLDER OUT takes it from box or mask where '
                'there is none'
            )
            yield Finding('warning', 'area', path, message)
