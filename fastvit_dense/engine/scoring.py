"""Scoring saved predictions."""

import time
from collections.abc import Iterable
from pathlib import Path

from ..config.building import explained_building
from ..config.loaders import datasets_of
from ..config.reading import default_work_dir
from ..tasks.base import use_own_metric
from ..tasks.config import load_config
from .reporting import report_result


def score_predictions(
    config: str,
    predictions: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    work_dir: str | None = None,
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
    """
    from mmengine.registry import init_default_scope

    from ..datasets.loading import use_checked_loading
    from ..evaluation.predictions import evaluate_predictions

    cfg = load_config(config, sample=sample, cfg_options=cfg_options, pretrained=False)
    cfg.work_dir = work_dir or cfg.get('work_dir') or default_work_dir(config)
    use_own_metric(cfg)
    start = time.perf_counter()
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    use_checked_loading(cfg)
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    with explained_building(cfg):
        result = evaluate_predictions(cfg.test_evaluator, predictions, dataset)
    report_result(cfg, result, Path(predictions), {'evaluate': time.perf_counter() - start})
    return result.metrics
