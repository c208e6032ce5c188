"""Values of class masks: pixels that are ignored, and 255 in place of a class."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..loading import IGNORED

MANY_IGNORED = 0.5  # share of the pixels: a warning


@dataclass
class MaskValues:
    """Values of the masks that were looked at.

    Attributes:
        first: Value of the first class: 1 with reduce_zero_label, else 0.
        names: Classes of the files.
        counts: For each sound mask (256,), the pixels of each value.
    """

    first: int
    names: Sequence[str]
    counts: list[np.ndarray] = field(default_factory=list)

    @property
    def pixels(self) -> np.ndarray:
        """(256,) pixels of each value, of all masks."""
        return np.sum([np.zeros(256, np.int64), *self.counts], axis=0)

    @property
    def of_classes(self) -> np.ndarray:
        """(C,) pixels of each class."""
        return self.pixels[self.first : self.first + len(self.names)]

    @property
    def ignored(self) -> float:
        """Share of the pixels that count for no class, 0-1."""
        return 1 - self.of_classes.sum() / max(self.pixels.sum(), 1)

    def class_that_is_ignored(self) -> 'Suspicion | None':
        """Name the class for which the masks seem to hold 255.

        Of two classes it is the one that never stands in a mask beside 255; of more it is the
        last, where it is the only such class. Where 255 marks pixels that are not labelled it
        stands, sooner or later, beside every class.
        """
        there = np.array(self.counts).reshape(-1, 256) > 0
        classes = there[:, self.first : self.first + len(self.names)]
        holds = there[:, IGNORED]
        beside = holds & classes.any(1)
        several = len(self.names) > 2
        if not holds.any() or (several and not beside.any()):
            return None
        seen = (classes[beside] if beside.any() else classes).any(0)
        absent = np.flatnonzero(~seen).tolist()
        if len(absent) != 1 or (several and absent != [len(self.names) - 1]):
            return None
        sound = int((classes[:, absent[0]] & ~holds).sum())
        return Suspicion(absent[0], int(holds.sum()), sound, len(self.counts))


@dataclass(frozen=True)
class Suspicion:
    """255 that seems to stand for a class.

    Attributes:
        label: Of the class, from 0.
        wrong: Masks that hold 255.
        sound: Masks that hold the class.
        looked_at: Masks that were looked at.
    """

    label: int
    wrong: int
    sound: int
    looked_at: int

    @property
    def severity(self) -> str:
        """'error', or 'warning' where most masks are sound."""
        return 'error' if self.wrong > self.sound else 'warning'

    def message(self, values: MaskValues) -> str:
        """Say what is wrong, and what to do."""
        value, name = self.label + values.first, values.names[self.label]
        also = f', which {self.sound} other masks hold' if self.sound else ''
        zero = ' (with reduce_zero_label=True 0 is ignored, too)' if values.first else ''
        return (
            f'expected {value} for class {name!r}, found {IGNORED} in {self.wrong} of '
            f'{self.looked_at} masks and in none of these {value}{also}: {IGNORED} (and 65535 in '
            f'16 bits) marks pixels that count for no class{zero}. If it stands for {name!r} here, '
            f'write the masks again with mask[mask == {IGNORED}] = {value}'
        )


def ignored_note(values: MaskValues) -> str:
    """Say how many of the pixels are ignored."""
    return f'ignored pixels: {values.ignored:.1%} of {len(values.counts)} masks'


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
