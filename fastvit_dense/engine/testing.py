"""Testing a checkpoint or an exported file."""

import copy
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from ..backbones.reparam import reparameterize
from ..checkpoints.download import resolve
from ..checkpoints.model import load_model_state
from ..checkpoints.reader import load_checkpoint_file
from ..config.building import explained_building
from ..config.loaders import datasets_of, evaluators_of
from ..config.stored import is_exported, use_stored_bits
from ..datasets.corruptions import chosen_corruptions
from ..errors import ConfigError
from ..evaluation.base import TaskMetric
from ..evaluation.record import EvaluationResult
from ..evaluation.report.compare import (
    add_baseline,
    change_from,
    check_baseline,
    read_report,
)
from ..evaluation.report.model import model_info
from ..evaluation.report.training_log import training_curves
from ..evaluation.report.verify import check_results, verify_results
from ..evaluation.statistics_file import read_statistics
from ..inference.exported import exported_model_cfg
from ..inference.predictor import Predictor
from ..inference.strips import labels_in_strips
from ..inference.tiles import TiledModel, TiledPredictor, without_resizing
from ..tasks import task_of
from ..tasks.config import load_config, own_weights
from ..tasks.evaluators import outcome, use_own_metrics
from .build import build_runner, check_checkpoint
from .console import close_log
from .robustness import Robustness, examples
from .robustness import prepare as prepare_corruptions
from .scoring import image_size, report_result


def evaluate_checkpoint(
    config: str,
    checkpoint: str | None = None,
    *,
    sample: bool = False,
    data: str | Path | None = None,
    cfg_options: Iterable[str] = (),
    work_dir: str | Path | None = None,
    fuse: bool = False,
    tta: bool = False,
    verify: bool = False,
    save_predictions: str | None = None,
    baseline: str | None = None,
    corruptions: str | None = None,
    launcher: str = 'none',
    tiles: int | None = None,
    overlap: float = 0.25,
) -> int:
    """Evaluate a checkpoint, or an exported file, and write the report.

    Args:
        config: Config file, or a checkpoint that carries its config.
        checkpoint: Weights, loaded strictly; or a file of `tools/export.py` (.onnx, .xml). None:
            the weights of `config`.
        sample: Use the embedded sample data.
        data: A folder of annotated pictures to use instead of the config's data.
        cfg_options: `key=value` strings.
        work_dir: Where the report goes; by default `work_dirs/CONFIG`.
        fuse: Reparameterize the model before it is scored.
        tta: Predict each picture in several sizes and mirrored, by the config's `tta_model`.
        verify: Compare with the config's `expected_results`.
        save_predictions: Folder for the predictions in the official format.
        baseline: `report.json` of another evaluation on the same data; the report tells by how
            much each metric changed (of a quantised file: its loss).
        corruptions: Also score under these, each at five strengths: `all`, or a list of families
            and names with commas, see `datasets.corruptions`.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        tiles: Side of the tiles, pixels of the picture, in which pictures are predicted.
        overlap: Share of a tile that it has in common with the next.

    Returns:
        1 where `verify` found a value missed, else 0.
    """
    checkpoint = own_weights(config) if checkpoint is None else checkpoint
    cfg = load_config(
        config,
        sample=sample,
        data=data,
        classes=_classes_of(checkpoint) if data else None,
        cfg_options=cfg_options,
        pretrained=False,
        work_dir=work_dir,
    )
    cfg.launcher = launcher
    use_own_metrics(cfg)
    if not evaluators_of(cfg, 'test_evaluator'):
        raise ConfigError(f'{cfg.filename}: test_evaluator: expected a metric, found none')
    expected = _expected_results(cfg, required=verify)
    corrupted = chosen_corruptions(corruptions) if corruptions else ()
    if corrupted:
        prepare_corruptions(cfg)
    check_checkpoint(checkpoint)
    if cfg.get('image_bits') is None:
        use_stored_bits(cfg, _carried(checkpoint)[1], checkpoint)
    before = read_report(baseline) if baseline else None
    if before:
        check_baseline(before, task=task_of(cfg).name)
    kept = read_statistics(baseline, before['metrics']) if baseline and before else None
    model_cfg, exported = cfg.model, is_exported(checkpoint)
    if tta:
        if tiles is not None:
            raise ConfigError('--tta and --tiles: give one of them')
        _use_tta(cfg, exported)
    if exported:
        if launcher != 'none':
            raise ConfigError(f'--launcher {launcher}: an exported file is scored in one process')
        cfg.model = exported_model_cfg(cfg, checkpoint)
    size, whole = image_size(cfg), copy.deepcopy(cfg)
    if tiles is not None:
        for dataset in datasets_of(cfg, ['test_dataloader']):
            dataset.pipeline = without_resizing(dataset.pipeline)
    with explained_building(cfg):
        runner = build_runner(cfg, ('test_dataloader',), training=False)
    if before:  # now, not after hours
        check_baseline(before, samples=len(runner.test_dataloader.dataset))
    cfg.model = model_cfg  # the report tells of the network, whatever runs it

    model = getattr(runner.model, 'module', runner.model)
    form = 'reparameterized' if fuse else 'as trained'
    if exported:
        info, form = model.info, model.form
    else:
        info = _load_for_test(model, cfg, checkpoint, fuse)
    kinds = [metric['type'] for metric in evaluators_of(cfg, 'test_evaluator')]
    # tiles, and views of a picture, are joined by their scores
    strips = nullcontext() if tta or tiles is not None else labels_in_strips(model, kinds)
    if tiles is not None:
        predictor = Predictor(model.eval(), whole)
        runner.model = TiledModel(TiledPredictor(predictor, tiles, overlap))
    metrics = runner.test_evaluator.metrics
    keep = _keep_predictions(metrics, save_predictions, Path(cfg.work_dir) / 'predictions')
    start = time.perf_counter()
    with explained_building(cfg), strips:
        found, result = _test(runner, cfg)
        seconds = {'test': time.perf_counter() - start}
        if corrupted and result is not None:
            told = {**(info or {}), 'form': form}
            result.robustness = _under_corruptions(runner, cfg, result, corrupted, told)
            result.arrays['corrupted'] = examples(runner.test_dataloader.dataset, corrupted)
            seconds['corruptions'] = time.perf_counter() - start - seconds['test']
    close_log(runner.logger)
    if not is_main_process():
        return 0
    # names with and without the prefix of our metric
    measured = {**(result.metrics if result else {}), **found}
    if result is None:
        print(f'predictions only, in {keep}: no scores, hence no report')
    else:
        result.protocol |= {'form': form, 'image_size': size}
        if tta:
            result.protocol['test_time_augmentation'] = cfg.tta_model['type']
        if tiles is not None:
            result.protocol['tiles'] = f'{tiles} pixels, overlap {overlap:g}'
        if not exported:
            headlines = task_of(cfg).presentation.leading(result.metrics)
            result.curves |= training_curves(Path(checkpoint).parent, headlines)
        if before:
            result.protocol.update(change_from(before, result, kept))
            add_baseline(result, before)
        report_result(cfg, result, keep, seconds, info, expected, measured)
    if not verify:
        return 0
    misses = verify_results(measured, expected)
    for miss in misses:
        print(miss)
    return int(bool(misses))


def _use_tta(cfg: Config, exported: bool) -> None:
    """Put the config's `tta_model` around its model, and `tta_pipeline` in place of the test's."""
    if exported or not cfg.get('tta_model') or not cfg.get('tta_pipeline'):
        found = 'an exported file' if exported else 'none'
        raise ConfigError(
            f'{cfg.filename}: --tta: needs a checkpoint and a config with tta_model and '
            f'tta_pipeline, as finetune/semfpn_* and finetune/fasterrcnn_* have, found {found}'
        )
    for dataset in datasets_of(cfg, ['test_dataloader']):
        dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(cfg.tta_model, module=cfg.model)


def _classes_of(checkpoint: str) -> tuple[str, ...] | None:
    """Class names that a checkpoint, or an exported file, carries; None where it has none."""
    names = _carried(checkpoint)[0]
    return tuple(map(str, names)) if isinstance(names, list | tuple) and names else None


def _carried(checkpoint: str) -> tuple[Any, Any]:
    """Class names, and the text of the config, that a checkpoint or an exported file carries."""
    if is_exported(checkpoint):
        from ..deploy.runtime import ExportedNetwork

        description = ExportedNetwork(checkpoint).description
        return description.classes, description.prediction
    check_checkpoint(checkpoint)
    content = load_checkpoint_file(resolve(checkpoint), lazy=True)
    meta = content.get('meta') if isinstance(content, dict) else None
    known = meta.get('dataset_meta') if isinstance(meta, dict) else None
    names = known.get('classes') if isinstance(known, dict) else None
    return names, meta.get('cfg') if isinstance(meta, dict) else None


def _test(runner: Runner, cfg: Config) -> tuple[dict[str, Any], EvaluationResult | None]:
    """All that a test finds, and our metric's result of it."""
    found = runner.test()
    metrics = runner.test_evaluator.metrics
    return found, outcome(cfg, metrics, found, len(runner.test_dataloader.dataset))


def _under_corruptions(
    runner: Runner,
    cfg: Config,
    clean: EvaluationResult,
    corruptions: Sequence[str],
    model: dict[str, Any],
) -> dict[str, Any]:
    """Test anew under each corruption; `robustness` of report.json."""

    def test() -> dict[str, float]:
        result = _test(runner, cfg)[1]
        return result.metrics if result else {}

    followed = task_of(cfg).presentation.leading(clean.metrics)
    scores = {name: clean.metrics[name] for name in followed}
    return Robustness(runner, cfg, test, corruptions, scores, model).measure()


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
