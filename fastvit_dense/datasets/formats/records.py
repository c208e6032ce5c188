"""The content of a folder of annotated pictures, whatever format its tool wrote.

A format is a module of this package with an object `FORMAT`; see `Format`.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import DataError

SPLITS = ('train', 'val', 'test')
# words in the name of a folder or a file -> split
SPLIT_WORDS = {
    'train': 'train',
    'training': 'train',
    'val': 'val',
    'valid': 'val',
    'validation': 'val',
    'dev': 'val',
    'test': 'test',
    'testing': 'test',
}
ELLIPSE_CORNERS = 64

Ring = list[float]  # x0, y0, x1, y1, ... in pixels


@dataclass
class Object:
    """An annotated object; coordinates in pixels, the left upper corner of the picture is (0, 0).

    Attributes:
        label: Name of its class.
        box: Left, top, right, bottom.
        rings: Polygons, each a part of the object.
        rle: Its mask as COCO's run-length code, where polygons cannot say it.
        crowd: A region of many objects (COCO's `iscrowd`).
        ignore: Left out of training (VOC's `difficult`).
        area: In pixels, as the file tells it; None: that of the mask, else of the box.
        extra: Other fields of its annotation, kept as they are.
        where: File and field of its annotation, for messages.
    """

    label: str
    box: tuple[float, float, float, float]
    rings: list[Ring] = field(default_factory=list)
    rle: dict | None = None
    crowd: bool = False
    ignore: bool = False
    area: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    where: str = ''

    @property
    def drawn_as_box(self) -> bool:
        """True where nothing but a box is known of it."""
        return not self.rings and self.rle is None


@dataclass
class Picture:
    """A picture with its annotations.

    Attributes:
        path: Its file.
        size: Height and width in pixels.
        split: Of `SPLITS`; None: the folder does not tell.
        objects: Its objects.
        mask: File of its class mask.
    """

    path: Path
    size: tuple[int, int]
    split: str | None = None
    objects: list[Object] = field(default_factory=list)
    mask: Path | None = None


# value, or colour (red, green, blue), in a class mask -> class index; 255: not labelled
MaskCode = dict[int, int] | dict[tuple[int, int, int], int]


@dataclass
class Found:
    """An annotated folder, read.

    Attributes:
        kind: Name of its format.
        root: The folder.
        classes: Names of the classes of the objects, in order.
        pictures: The pictures, in order of their paths within a split.
        mask_classes: Names of the classes of the masks; empty: there are no masks.
        mask_code: How masks are read.
        notes: What was left out or read in a way that may surprise.
    """

    kind: str
    root: Path
    classes: tuple[str, ...]
    pictures: list[Picture]
    mask_classes: tuple[str, ...] = ()
    mask_code: MaskCode | None = None
    notes: list[str] = field(default_factory=list)

    def of(self, split: str) -> list[Picture]:
        """The pictures of a split."""
        return [picture for picture in self.pictures if picture.split == split]

    @property
    def objects(self) -> int:
        """Number of objects."""
        return sum(len(picture.objects) for picture in self.pictures)

    @property
    def boxes_alone(self) -> int:
        """Number of objects of which nothing but a box is known."""
        return sum(o.drawn_as_box for picture in self.pictures for o in picture.objects)

    def counts(self, split: str) -> Counter[str]:
        """Objects of each class in a split."""
        return Counter(o.label for picture in self.of(split) for o in picture.objects)


@dataclass(frozen=True)
class Format:
    """A format of annotations.

    Attributes:
        name: As it is told to the user.
        looks_for: The files by which it is recognised, in words.
        recognise: Tells whether a folder is of this format, from names and beginnings of files.
        read: Reads the folder.
        order: Formats are asked in this order; the first that recognises a folder reads it.
        nearly: Tells in words what keeps a folder from being of this format, asked where it is of
            none.
    """

    name: str
    looks_for: str
    recognise: Callable[[Any], bool]
    read: Callable[[Any], Found]
    order: int = 50
    nearly: Callable[[Any], str | None] = lambda _: None


def split_of(*words: str) -> str | None:
    """The split that the names of folders or a file tell, the last telling name first."""
    for word in reversed(words):
        name = word.lower().partition('.')[0]
        if name in SPLIT_WORDS:
            return SPLIT_WORDS[name]
        for part in name.replace('-', '_').split('_'):
            if (bare := part.rstrip('0123456789')) in SPLIT_WORDS:
                return SPLIT_WORDS[bare]
    return None


def box_of(rings: Sequence[Ring]) -> tuple[float, float, float, float]:
    """The box around polygons."""
    xs = [x for ring in rings for x in ring[::2]]
    ys = [y for ring in rings for y in ring[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Ring:
    """The polygon of a box."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def ellipse(x: float, y: float, rx: float, ry: float, turned: float = 0.0) -> Ring:
    """A polygon of 64 corners on an ellipse.

    Args:
        x: Centre.
        y: Centre.
        rx: Half axis.
        ry: The other one.
        turned: By this angle, in radians, from x towards y.
    """
    ring = []
    for k in range(ELLIPSE_CORNERS):
        angle = 2 * math.pi * k / ELLIPSE_CORNERS
        along, across = rx * math.cos(angle), ry * math.sin(angle)
        ring.append(x + along * math.cos(turned) - across * math.sin(turned))
        ring.append(y + along * math.sin(turned) + across * math.cos(turned))
    return ring


def ring_area(ring: Ring) -> float:
    """Area of a polygon in pixels."""
    xs, ys = ring[::2], ring[1::2]
    twice = sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))
    return abs(twice) / 2


def each_once(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Names of classes, of which none stands there twice.

    Raises:
        DataError: One does; the message begins with `where`.
    """
    for place, name in enumerate(names):
        if name in names[:place]:
            first = names.index(name)
            raise DataError(
                f'{where}: expected each class once, found {name!r} as {first} and {place}'
            )
    return tuple(names)


def once(told_of: dict[Path, Path], picture: Path, path: Path) -> None:
    """See that no picture is annotated in two files.

    Args:
        told_of: Files of pictures, to which this one is added.
        picture: A picture.
        path: Its file.

    Raises:
        DataError: It is in another file, too.
    """
    first = told_of.setdefault(picture, path)
    if first != path:
        raise DataError(
            f'{path}: {picture} is annotated in {first}, too; leave one of the two files in the '
            'folder'
        )


def unused_note(pictures: Iterable[Path], used: Iterable[Path], what: str) -> list[str]:
    """A note on pictures that are not used; none where all are."""
    left = sorted(set(pictures) - set(used))
    return [f'{len(left)} pictures {what} are left out ({left[0]})'] if left else []


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Names, each once, in the order of their first mention."""
    return tuple(dict.fromkeys(names))


def with_classes(found: Found, classes: Sequence[str]) -> Found:
    """The folder with the classes of a model, in its order; those of its own are left out.

    Raises:
        DataError: None of its classes is one of the model's.
    """
    names = tuple(classes)
    own = found.mask_classes or found.classes
    if not set(own) & set(names):
        raise DataError(
            f'{found.root}: expected some of the classes of the model ({_some(names)}), found '
            f'others ({_some(own)})'
        )
    unknown = [name for name in own if name not in names]
    notes = [f'classes that the model does not have, left out: {_some(unknown)}'] if unknown else []
    pictures = [
        replace(p, objects=[entry for entry in p.objects if entry.label in names])
        for p in found.pictures
    ]
    found = replace(found, pictures=pictures, notes=[*found.notes, *notes])
    if not found.mask_classes:
        return replace(found, classes=names)
    place = {k: names.index(n) for k, n in enumerate(found.mask_classes) if n in names}
    code: Any = {key: place.get(label, 255) for key, label in (found.mask_code or {}).items()}
    return replace(found, mask_classes=names, mask_code=code or None)


def _some(names: Sequence[str]) -> str:
    shown = ', '.join(names[:6])
    return f'{shown}, ... {len(names)} in all' if len(names) > 6 else shown
