"""The time of every part of a prediction, over several calls."""

import os
from statistics import median
from typing import Any

from fastvit_dense.inference import timing
from fastvit_dense.inference.predictor import Predictor
from fastvit_dense.inference.timing import PARTS


class TimedPredictor(timing.TimedPredictor):
    """A predictor that keeps the parts' seconds of every call."""

    def __init__(self, predictor: Predictor, device: str) -> None:
        super().__init__(predictor, device)
        self.calls: list[dict[str, float]] = []

    def __call__(self, picture: str | os.PathLike) -> Any:
        """The predictor's result."""
        result = super().__call__(picture)
        self.calls.append(self.seconds)
        return result

    def medians(self) -> dict[str, float]:
        """Seconds of every part, medians over the calls."""
        return {part: median(call[part] for call in self.calls) for part in PARTS}
