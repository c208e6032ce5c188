"""Scores under corruptions: their means over corruptions and strengths, beside the clean score.

mPC and rPC are those of Michaelis et al., "Benchmarking Robustness in Object Detection"
(arXiv 1907.07484), section 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .metric_names import is_defined


def summarize(
    clean: Mapping[str, float],
    scored: Mapping[str, Sequence[Mapping[str, float]]],
    strengths: Sequence[int],
) -> dict[str, Any]:
    """Put together what `report.json` has under `robustness`.

    Args:
        clean: Scores of the pictures as they are, by metric.
        scored: By corruption, for each strength the scores by metric.
        strengths: From weak to strong.

    Returns:
        `strengths`; `clean`; `by_corruption`: by corruption and metric, a list of the scores at the
        strengths (None where one is undefined); `mPC`: the mean over corruptions
        and strengths, None where a score is undefined; `rPC`: mPC / clean, None where clean is 0.
        For errors, where lower is better, rPC says how many times the clean error mPC is.
    """
    by_corruption = {
        corruption: {name: [_defined(name, row.get(name)) for row in rows] for name in clean}
        for corruption, rows in scored.items()
    }
    mpc: dict[str, float | None] = {}
    rpc: dict[str, float | None] = {}
    for name, value in clean.items():
        rows = [by_metric[name] for by_metric in by_corruption.values()]
        mean = float(np.mean(np.array(rows, dtype=float))) if rows else np.nan
        mpc[name] = None if np.isnan(mean) else mean
        known = is_defined(name, value) and value and not np.isnan(mean)
        rpc[name] = mean / value if known else None
    return {
        'strengths': list(strengths),
        'clean': {name: _defined(name, value) for name, value in clean.items()},
        'mPC': mpc,
        'rPC': rpc,
        'by_corruption': by_corruption,
    }


def _defined(name: str, value: Any) -> float | None:
    return float(value) if is_defined(name, value) else None
