"""Scoring saved predictions."""

import time
from collections.abc import Iterable
from pathlib import Path

from mmengine.registry import init_default_scope

from ..config.building import explained_building
from ..config.loaders import datasets_of, evaluators_of
from ..datasets.loading import use_checked_loading
from ..errors import ConfigError
from ..evaluation.predictions import evaluate_predictions
from ..tasks.config import load_config
from ..tasks.evaluators import own_evaluator, use_own_metrics
from .reporting import report_result


def score_predictions(
    config: str,
    predictions: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    work_dir: str | Path | None = None,
) -> dict[str, float]:
    """Score saved predictions and write the report; the images are needed for its gallery only.

    Args:
        config: Config file, of which the test dataset and evaluator are used.
        predictions: COCO result file, folder of label PNGs, or FreiHAND `pred.json`/`.zip`.
        sample: Use the embedded sample data.
        cfg_options: `key=value` strings.
        work_dir: Where the report goes; by default `work_dirs/CONFIG`.

    Returns:
        The metrics.

    Raises:
        ConfigError: No metric of the config reads saved predictions.
        DataError: Annotations or predictions that cannot be scored.
    """
    cfg = load_config(
        config, sample=sample, cfg_options=cfg_options, pretrained=False, work_dir=work_dir
    )
    use_own_metrics(cfg)
    evaluator = own_evaluator(cfg)
    if evaluator is None:
        found = [str(metric.get('type')) for metric in evaluators_of(cfg, 'test_evaluator')]
        raise ConfigError(
            f'{cfg.filename}: test_evaluator: expected a metric of ours, which reads saved '
            f'predictions, found {", ".join(found) or "none"}'
        )
    start = time.perf_counter()
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    use_checked_loading(cfg)
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    with explained_building(cfg):
        result = evaluate_predictions(evaluator, predictions, dataset)
    report_result(cfg, result, Path(predictions), {'evaluate': time.perf_counter() - start})
    return result.metrics
