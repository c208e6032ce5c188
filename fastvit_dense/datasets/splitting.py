"""A seeded split into training and validation, where a folder of pictures has none."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from ..errors import DataError
from .alike import groups_of
from .formats.records import Found, Picture

VAL_SHARE = 0.2


def complete_splits(found: Found, seed: int = 0, testing: bool = False) -> None:
    """Give every picture a split, in place; what is there already stays.

    Where no validation pictures are named, about a fifth of the training pictures becomes that.
    Pictures that are the same, or almost, stay together; so do videos, of which one that is longer
    than the fifth is cut once, its end being the validation.

    Args:
        found: A folder, read.
        seed: Another one gives another split.
        testing: A folder without training pictures will do.

    Raises:
        DataError: The pictures cannot be split: there is one, or all are alike; or those to train
            on, or to validate with, have no object.
    """
    for picture in found.pictures:
        picture.split = picture.split or 'train'
    if testing and not found.of('train'):
        found.notes.append('split: as the folder has it')
        return
    if not found.of('train'):
        raise DataError(
            f'{found.root}: expected pictures for training, found {len(found.pictures)} in val or '
            'test alone'
        )
    if found.of('val'):
        found.notes.append('split: as the folder has it')
        _see_objects(found)
        return
    pictures = found.of('train')
    groups = _units(pictures)
    if len(pictures) - max(map(len, groups)) < VAL_SHARE / 2 * len(pictures):
        groups = _units(pictures, near=False)
        found.notes.append('most pictures look alike: only identical ones are kept together')
    if len(groups) < 2:
        raise DataError(
            f'{found.root}: expected pictures to validate with, or two and more that are not alike '
            f'to split, found {len(pictures)}'
        )
    for i in _chosen(pictures, groups, seed):
        pictures[i].split = 'val'
    found.notes.append(
        f'split: {len(found.of("val"))} of {len(pictures)} pictures for validation, seed {seed}; '
        f'the same pictures, and neighbours in a video, stay together ({len(groups)} groups)'
    )
    _see_objects(found)


def _see_objects(found: Found) -> None:
    """See that there are objects to train on and to validate with."""
    for split, purpose in (('train', 'train on'), ('val', 'validate with')):
        pictures = found.of(split)
        if not any(picture.mask or picture.objects for picture in pictures):
            others = sum(bool(picture.objects) for picture in found.pictures)
            told = ''.join(f'; {note}' for note in found.notes[:2])
            raise DataError(
                f'{found.root}: expected objects to {purpose}, found none in {len(pictures)} '
                f'pictures ({pictures[0].path}, ...); {others} other pictures have some{told}'
            )


def _units(pictures: Sequence[Picture], near: bool = True) -> list[list[int]]:
    """Groups of pictures that are not parted."""
    groups, videos = groups_of([picture.path for picture in pictures], near)
    group_of = {i: k for k, group in enumerate(groups) for i in group}
    merged: dict[int, int] = {k: k for k in range(len(groups))}

    def root(k: int) -> int:
        while merged[k] != k:
            k = merged[k]
        return k

    for video in videos:
        parts = [video]
        if len(video) > VAL_SHARE * len(pictures):
            cut = len(video) - max(1, round(VAL_SHARE * len(video)))
            parts = [video[:cut], video[cut:]]
        for part in parts:
            for i in part[1:]:
                merged[root(group_of[i])] = root(group_of[part[0]])
    units: dict[int, list[int]] = {}
    for i in range(len(pictures)):
        units.setdefault(root(group_of[i]), []).append(i)
    return list(units.values())


def _chosen(pictures: Sequence[Picture], groups: list[list[int]], seed: int) -> list[int]:
    """The pictures of the validation: whole groups, those of rare classes first."""
    goal = max(1, round(VAL_SHARE * len(pictures)))
    labels = [{o.label for i in group for o in pictures[i].objects} for group in groups]
    left = Counter(label for found in labels for label in found)
    order = sorted(range(len(groups)), key=lambda k: _place(pictures[groups[k][0]], seed))
    rare = sorted(left, key=lambda label: (left[label], label))
    first = [next(k for k in order if label in labels[k]) for label in rare]
    chosen: list[int] = []
    for k in dict.fromkeys([*first, *order]):
        count = sum(len(groups[i]) for i in chosen)
        fits = count + len(groups[k]) <= 1.5 * goal
        keeps = all(left[label] > 1 for label in labels[k])  # a class stays in the training
        if count >= goal or not fits or not keeps or len(groups[k]) == len(pictures):
            continue
        chosen.append(k)
        left.subtract(labels[k])
    with_objects = [k for k in order if labels[k]]
    if not chosen or (len(with_objects) > 1 and not any(labels[k] for k in chosen)):
        # there is nothing to validate with but what a class is lost for in the training
        chosen = [min(with_objects or order, key=lambda k: (len(groups[k]), len(labels[k])))]
    return [i for k in chosen for i in groups[k]]


def _place(picture: Picture, seed: int) -> bytes:
    """The place of a picture in a random order that other pictures do not change."""
    return hashlib.sha256(f'{seed} {picture.path.name}'.encode()).digest()
