"""Testing a checkpoint or an exported file."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from ..backbones.reparam import reparameterize
from ..checkpoints.model import load_model_state
from ..config.building import explained_building
from ..config.loaders import evaluators_of
from ..errors import ConfigError
from ..evaluation.base import TaskMetric
from ..evaluation.report.compare import change_from, read_report
from ..evaluation.report.model import model_info
from ..evaluation.report.verify import check_results, verify_results
from ..evaluation.statistics_file import read_statistics
from ..inference.exported import exported_model_cfg, is_exported
from ..inference.strips import labels_in_strips
from ..tasks import task_of
from ..tasks.config import load_config
from ..tasks.evaluators import outcome, use_own_metrics
from .build import build_runner, check_checkpoint
from .console import close_log
from .scoring import image_size, report_result


def evaluate_checkpoint(
    config: str,
    checkpoint: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    work_dir: str | Path | None = None,
    fuse: bool = False,
    verify: bool = False,
    save_predictions: str | None = None,
    baseline: str | None = None,
    launcher: str = 'none',
) -> int:
    """Evaluate a checkpoint, or an exported file, and write the report.

    Args:
        config: Config file.
        checkpoint: Weights, loaded strictly; or a file of `tools/export.py` (.onnx, .xml).
        sample: Use the embedded sample data.
        cfg_options: `key=value` strings.
        work_dir: Where the report goes; by default `work_dirs/CONFIG`.
        fuse: Reparameterize the model before it is scored.
        verify: Compare with the config's `expected_results`.
        save_predictions: Folder for the predictions in the official format.
        baseline: `report.json` of another evaluation on the same data; the report tells by how
            much each metric changed (of a quantised file: its loss).
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Returns:
        1 where `verify` found a value missed, else 0.
    """
    cfg = load_config(
        config, sample=sample, cfg_options=cfg_options, pretrained=False, work_dir=work_dir
    )
    cfg.launcher = launcher
    use_own_metrics(cfg)
    if not evaluators_of(cfg, 'test_evaluator'):
        raise ConfigError(f'{cfg.filename}: test_evaluator: expected a metric, found none')
    expected = _expected_results(cfg, required=verify)
    check_checkpoint(checkpoint)
    before = read_report(baseline) if baseline else None
    kept = read_statistics(baseline, before['metrics']) if baseline and before else None
    model_cfg, exported = cfg.model, is_exported(checkpoint)
    if exported:
        if launcher != 'none':
            raise ConfigError(f'--launcher {launcher}: an exported file is scored in one process')
        cfg.model = exported_model_cfg(cfg, checkpoint)
    with explained_building(cfg):
        runner = build_runner(cfg, ('test_dataloader',), training=False)
    cfg.model = model_cfg  # the report tells of the network, whatever runs it

    model = getattr(runner.model, 'module', runner.model)
    form = 'reparameterized' if fuse else 'as trained'
    if exported:
        info, form = model.info, model.form
    else:
        info = _load_for_test(model, cfg, checkpoint, fuse)
    metrics = runner.test_evaluator.metrics
    keep = _keep_predictions(metrics, save_predictions, Path(cfg.work_dir) / 'predictions')
    start = time.perf_counter()
    kinds = [metric['type'] for metric in evaluators_of(cfg, 'test_evaluator')]
    with explained_building(cfg), labels_in_strips(model, kinds):
        found = runner.test()
    close_log(runner.logger)
    seconds = time.perf_counter() - start
    if not is_main_process():
        return 0
    result = outcome(cfg, metrics, found, len(runner.test_dataloader.dataset))
    # names with and without the prefix of our metric
    measured = {**(result.metrics if result else {}), **found}
    if result is None:
        print(f'predictions only, in {keep}: no scores, hence no report')
    else:
        result.protocol |= {'form': form, 'image_size': image_size(cfg)}
        if before:
            result.protocol.update(change_from(before, result, kept))
        report_result(cfg, result, keep, {'test': seconds}, info, expected, measured)
    if not verify:
        return 0
    misses = verify_results(measured, expected)
    for miss in misses:
        print(miss)
    return int(bool(misses))


def _keep_predictions(metrics: Sequence[Any], folder: str | None, default: Path) -> Path:
    """Have our metric write its predictions, and diagnose them; return the folder."""
    own = next((metric for metric in metrics if isinstance(metric, TaskMetric)), None)
    keep = Path(folder or getattr(own, 'predictions_dir', None) or default)
    if own is not None:
        own.save_predictions(keep)
        own.diagnose = True
    return keep


def _load_for_test(
    model: torch.nn.Module, cfg: Config, checkpoint: str, fuse: bool
) -> dict[str, Any] | None:
    """Load and perhaps fold a model; what the report says of it, in the main process."""
    load_model_state(model, checkpoint)
    if fuse:
        reparameterize(model.eval())
    if not is_main_process():
        return None
    return model_info(model, cfg, checkpoint, task_of(cfg).macs_size)


def _expected_results(cfg: Config, required: bool) -> list[dict] | None:
    expected = cfg.get('expected_results')
    if expected:
        check_results({}, expected)  # a malformed entry is told before hours of evaluation
    elif required:
        raise ConfigError(f'{cfg.filename}: --verify: the config carries no expected_results')
    return expected
