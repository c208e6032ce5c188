"""The plain record that every evaluation ends in."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .statistics import Statistics


@dataclass
class EvaluationResult:
    """The outcome of one evaluation, of any task.

    Every metric of the project keeps it in `metric.result` after `evaluate()`; a report is
    drawn from it alone. Everything but `arrays` and
    `statistics` can be written to JSON as it is.

    Args:
        task: Name of the task, such as `'instance'`.
        dataset: Name of the dataset, e.g. `'COCO'`.
        split: Name of the part that was scored, e.g. `'val2017'`; empty when unknown.
        samples: Number of images that were scored.
        metrics: Unrounded Python floats under the public metric names, in those names' units.
        per_class: One dict per class, in the order of the classes; `'name'` and the scores of
            that class, None where a score is undefined.
        curves: Lists of numbers by name, each family a dict with its axes and units spelled out.
        arrays: NumPy arrays such as the confusion matrix.
        per_sample: One dict per sample, `{'id': ..., 'score': float}` and more; a higher score
            is a better prediction. Picks the pictures of a gallery.
        protocol: What was scored and how, as a reader of the report needs it.
        robustness: Scores under corruptions, see `robustness.summarize`; None: not scored.
        statistics: What is kept of each image, for intervals; None: there are none.
        diagnosis: Kinds of errors and more, as `Diagnosis.to_dict` gives them; empty unless a
            metric was asked to `diagnose`.
    """

    task: str
    dataset: str
    split: str
    samples: int
    metrics: dict[str, float]
    per_class: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    per_sample: list[dict[str, Any]] = field(default_factory=list)
    protocol: dict[str, Any] = field(default_factory=dict)
    robustness: dict[str, Any] | None = None
    statistics: Statistics | None = None
    diagnosis: dict[str, Any] = field(default_factory=dict)
