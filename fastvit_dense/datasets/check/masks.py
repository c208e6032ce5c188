"""Values of class masks: pixels that are ignored, and 255 in place of a class."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..mask_reading import IGNORED, value_of_ignored

MANY_IGNORED = 0.5  # share of the pixels: a warning


@dataclass(frozen=True)
class MaskLook:
    """A sound mask.

    Attributes:
        path: Its file.
        pixels: (256,) pixels of each value.
        inner: Pixels of 255 apart from a frame of it, 0-1 of all pixels; where 255 is the larger
            part all of them.
    """

    path: Path
    pixels: np.ndarray
    inner: float


def look_at(path: Path, mask: np.ndarray) -> MaskLook:
    """Count the values of a mask, (H, W) of 0 to 255."""
    other = mask != IGNORED
    rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
    inside = ~other
    if other.mean() > 0.5:
        inside = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return MaskLook(path, np.bincount(mask.ravel(), minlength=256), inside.sum() / mask.size)


@dataclass
class MaskValues:
    """Values of the masks that were looked at.

    Attributes:
        first: Value of the first class: 1 with reduce_zero_label, else 0.
        names: Classes of the files.
        looks: The sound masks.
    """

    first: int
    names: Sequence[str]
    looks: list[MaskLook] = field(default_factory=list)

    @property
    def pixels(self) -> np.ndarray:
        """(256,) pixels of each value, of all masks."""
        return np.sum([np.zeros(256, np.int64), *(look.pixels for look in self.looks)], axis=0)

    @property
    def of_classes(self) -> np.ndarray:
        """(C,) pixels of each class."""
        return self.pixels[self.first : self.first + len(self.names)]

    @property
    def ignored(self) -> float:
        """Share of the pixels that count for no class, 0-1."""
        return 1 - self.of_classes.sum() / max(self.pixels.sum(), 1)

    def only_class(self) -> str | None:
        """Name the class that has all pixels of classes, where there are several classes."""
        (found,) = np.nonzero(self.of_classes)
        return self.names[found[0]] if len(found) == 1 < len(self.names) else None

    def class_that_is_ignored(self) -> 'Suspicion | None':
        """Name the class for which the masks seem to hold 255.

        Of two classes it is the one that seldom stands in a mask beside 255; of more it is the
        last, where it is the only one that never does. Where 255 marks pixels that are not labelled
        it stands, sooner or later, beside every class.
        """
        there = np.array([look.pixels for look in self.looks]).reshape(-1, 256) > 0
        classes = there[:, self.first : self.first + len(self.names)]
        holds = there[:, IGNORED]
        beside = holds & classes.any(1)
        several = len(self.names) > 2
        if not holds.any() or (several and not beside.any()):
            return None
        with_it = (classes[beside] if beside.any() else classes).sum(0)
        absent = with_it == 0 if several or not beside.any() else with_it < beside.sum() - with_it
        (labels,) = np.nonzero(absent)
        if len(labels) != 1 or (several and labels[0] != len(self.names) - 1):
            return None
        label = int(labels[0])
        suspects = [
            look
            for look, wrong in zip(self.looks, holds & ~classes[:, label], strict=True)
            if wrong
        ]
        return Suspicion(label, suspects, self) if suspects else None

    def shares(self, label: int) -> list[tuple[MaskLook, float]]:
        """The masks that hold a class, and its share of their pixels, 0-1."""
        value = self.first + label
        return [
            (look, look.pixels[value] / look.pixels.sum())
            for look in self.looks
            if look.pixels[value]
        ]


@dataclass(frozen=True)
class Suspicion:
    """255 that seems to stand for a class.

    Attributes:
        label: Of the class, from 0.
        suspects: Masks that hold 255, but not the class.
        values: Of all masks.
    """

    label: int
    suspects: Sequence[MaskLook]
    values: MaskValues

    @property
    def sound(self) -> int:
        """Masks that hold the class."""
        return len(self.values.shares(self.label))

    @property
    def severity(self) -> str:
        """'error', or 'warning' where the class is known from other masks."""
        known = self.sound if len(self.values.names) == 2 else len(self.suspects) * self.sound
        return 'error' if len(self.suspects) > known else 'warning'

    def is_void(self, training: MaskValues | None) -> bool:
        """Tell whether the masks that hold the class show that 255 marks no class.

        It does where it is a frame, or where its share is that which it has beside the class
        rather than that of the class.

        Args:
            training: Values of the training data, which can hold the class, too.
        """
        known = self.values.shares(self.label) + (training.shares(self.label) if training else [])
        if not known:
            return False
        found = np.median([look.inner for look in self.suspects])
        if not found:
            return True
        of_class = np.median([share for _, share in known])
        beside = [look.inner for look, _ in known if look.pixels[IGNORED]]
        if not beside:
            return False
        void = np.median(beside)
        as_class = of_class, of_class + void, 1 - of_class
        return bool(abs(found - void) < min(abs(found - share) for share in as_class))

    def message(self) -> str:
        """Say what is wrong, and what to do."""
        values = self.values
        value, name = self.label + values.first, values.names[self.label]
        also = f', which {self.sound} other masks hold' if self.sound else ''
        zero = ' (with reduce_zero_label=True 0 is ignored, too)' if values.first else ''
        found = value_of_ignored(str(self.suspects[0].path))
        advice = (
            f'If it stands for {name!r} here, write the masks again with mask[mask == {found}] = '
            f'{value}'
        )
        share = np.median([look.pixels[IGNORED] / look.pixels.sum() for look in self.suspects])
        if share > 0.5 and value == 1 and len(values.names) == 2:
            advice = (
                f'It is {share:.0%} of the pixels: if 0 stands for {name!r} here, write the masks '
                f'again with mask = (mask == 0).astype("uint8"), else with mask[mask == {found}] = '
                f'{value}'
            )
        return (
            f'expected {value} for class {name!r}, found {found} in {len(self.suspects)} of '
            f'{len(values.looks)} masks and in none of these {value}{also}: {IGNORED} (65535 in '
            f'16 bits) marks pixels that count for no class{zero}. {advice}. If they are to count '
            f'for none, say so with ignore_index={IGNORED} in the dataset'
        )


def ignored_note(values: MaskValues) -> str:
    """Say how many of the pixels are ignored."""
    return f'ignored pixels: {values.ignored:.1%} of {len(values.looks)} masks'


def palette_problem(
    colors: np.ndarray | None, used: Iterable[int], first: int, palette: Sequence | None
) -> str | None:
    """Name the first colour of a mask's palette that is not the config's.

    Args:
        colors: (N, 3) RGB of the mask file; None: it has none.
        used: Values in the mask.
        first: Value of the first class.
        palette: RGB of each class, of the config; None: it has none.
    """
    if colors is None or palette is None or not len(palette):
        return None
    if all(red == green == blue for red, green, blue in colors.tolist()):
        return None
    wanted = [tuple(map(int, color)) for color in palette]
    for value, color in _colors_of(colors, used):
        label = value - first
        if 0 <= label < len(wanted) and color != wanted[label]:
            other = (
                f", the config's colour of class {wanted.index(color)}" if color in wanted else ''
            )
            return (
                f'expected {wanted[label]} as the colour of value {value} (metainfo.palette, class '
                f'{label}), found {color}{other}; masks are read by value, never by colour: if the '
                'values are right, set metainfo.palette to the colours of the masks, else change '
                'the order of metainfo.classes'
            )
    return None


def _colors_of(colors: np.ndarray, used: Iterable[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
    for value in used:
        if value != IGNORED and value < len(colors):
            yield int(value), tuple(colors[value].tolist())
