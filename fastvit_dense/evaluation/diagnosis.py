"""The kinds of errors behind a number, as every task tells them in a report."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN_DOUBTS = 30


@dataclass(frozen=True)
class Part:
    """One kind of error.

    Args:
        name: The kind, in a few words.
        value: What it costs, in the unit of its breakdown.
        count: How many there are; None where they are not counted.
        meaning: Its definition, in a line.
    """

    name: str
    value: float
    count: int | None = None
    meaning: str = ''


@dataclass(frozen=True)
class Breakdown:
    """Losses of a number by each kind of error.

    Args:
        title: What is broken down.
        unit: Of the values; empty for numbers of 0-1.
        note: How the values are to be read, with their source.
        parts: The kinds.
    """

    title: str
    unit: str
    note: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Doubt:
    """A place where the truth, not the prediction, may be wrong.

    Args:
        image: The sample's id, as in `EvaluationResult.per_sample`.
        name: What a reader knows the image by.
        what: What speaks against the truth, in a line.
        score: The higher, the likelier; comparable within an evaluation.
        box: x, y, width, height in pixels of the image; None: all of it.
    """

    image: Any
    name: str
    what: str
    score: float
    box: tuple[float, float, float, float] | None = None


@dataclass
class Diagnosis:
    """The kinds of errors, how far scores can be trusted, and doubts about the truth.

    Args:
        breakdowns: What each number loses by each kind.
        calibration: By kind of detection, see `calibration.calibrate`.
        doubts: The likeliest label errors, the likeliest first.
    """

    breakdowns: list[Breakdown] = field(default_factory=list)
    calibration: dict[str, Any] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values; what there is none of is left out."""
        doubts = sorted(self.doubts, key=lambda doubt: -doubt.score)[:SHOWN_DOUBTS]
        found: dict[str, Any] = {
            'breakdowns': [asdict(breakdown) for breakdown in self.breakdowns],
            'calibration': self.calibration,
            'doubts': [asdict(doubt) for doubt in doubts],
        }
        return {name: value for name, value in found.items() if value}
