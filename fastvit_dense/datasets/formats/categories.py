"""Ids of classes in COCO files."""

from collections.abc import Sequence
from typing import Any

# ids from 1 to 90 that COCO's 80 classes leave out
LEFT_OUT = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = tuple(number for number in range(1, 91) if number not in LEFT_OUT)


def category_ids(classes: Sequence[str], known: Any = None) -> tuple[int, ...]:
    """Ids by label: those that are known, else COCO's own of COCO's classes, else 1, 2, ...

    Args:
        classes: Names by label.
        known: What the training annotations had, if a checkpoint tells; what is not one whole
            number a class is left out of account.
    """
    ids = known if isinstance(known, list | tuple) else ()
    if len(ids) == len(classes) and all(type(number) is int for number in ids):
        return tuple(ids)
    if len(classes) == len(COCO_IDS) and (classes[0], classes[-1]) == ('person', 'toothbrush'):
        return COCO_IDS
    return tuple(range(1, len(classes) + 1))
