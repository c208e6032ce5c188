"""The report of an evaluation: `report.json`, `report.md` and `report.html`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoints.files import write_files
from ...datasets.values import is_number
from ..bootstrap import uncertainty
from ..record import EvaluationResult
from ..statistics_file import STATISTICS_FILE, pack
from .environment import collect_environment
from .html import render_report
from .markdown import render_markdown
from .presentation import Presentation
from .verify import check_results


def write_report(
    result: EvaluationResult,
    work_dir: str | Path,
    *,
    model_info: Mapping[str, Any] | None = None,
    gallery: Sequence[tuple] = (),
    gallery_note: str = 'no images at hand',
    environment: Mapping[str, Any] | None = None,
    seconds: Mapping[str, float] | None = None,
    references: Sequence[Mapping[str, Any]] = (),
    presentation: Presentation | None = None,
    expected: Sequence[Mapping[str, Any]] | None = None,
    measured: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the three files of a report at the top of `work_dir`, all of them or none.

    Where the result has statistics they give the intervals, and `per_image.npz` keeps them.

    Args:
        result: What was measured.
        work_dir: Folder to write into; made if it does not exist.
        model_info: What `model_info` gives; None when predictions were scored without a model.
        gallery: Entries `(title, score, picture)` or `(title, score, picture, group)` in the
            order to show them: `picture` is a path or a PIL image of the prediction beside the
            ground truth, `group` a heading such as `'Best'`.
        gallery_note: Why the gallery is left out; used when `gallery` is empty.
        environment: Versions and devices; None collects them here.
        seconds: Wall time by phase.
        references: Published rows, see `find_references`.
        presentation: How the task's results are shown; None: plainly.
        expected: The config's `expected_results`; each is shown beside what was measured.
        measured: Numbers to compare them with; the result's metrics by default.

    Returns:
        The content of `report.json`: full precision, NaN and infinity as None.
    """
    report = {
        'task': result.task,
        'dataset': result.dataset,
        'split': result.split,
        'samples': result.samples,
        'metrics': result.metrics,
        'per_class': result.per_class,
        'curves': result.curves,
        'reference': list(references),
        'uncertainty': intervals(result),
        'protocol': result.protocol,
        'model': None if model_info is None else dict(model_info),
        'environment': collect_environment() if environment is None else dict(environment),
        'seconds': dict(seconds or {}),
    }

    if result.diagnosis:
        report['diagnosis'] = result.diagnosis
    if result.robustness is not None:
        report['robustness'] = result.robustness
    if expected:
        report['expected'] = check_results(measured or result.metrics, expected)
    report = to_json(report)
    shown = report if presentation is None else presentation.shown(report)
    contents: dict[str, str | bytes] = {}
    if result.statistics is not None:
        contents[STATISTICS_FILE] = pack(result.statistics)
    contents |= {
        'report.html': render_report(shown, result.arrays, gallery, gallery_note),
        'report.md': render_markdown(shown),
        'report.json': json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + '\n',
    }
    write_files(work_dir, contents)
    return report


def intervals(result: EvaluationResult) -> dict[str, dict[str, float]]:
    """Interval of each metric that has one: `low`, `high`, `level`, `resamples`."""
    found = uncertainty(result.statistics) if result.statistics is not None else {}
    return {name: asdict(found[name]) for name in result.metrics if name in found}


def to_json(value: Any) -> Any:
    """`value` with everything in it as plain JSON: NaN and infinity become None.

    Raises:
        TypeError: Something in it has no JSON form.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if is_number(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return value.name
    raise TypeError(f'report: expected JSON values, found {type(value).__name__}: {value!r}')
