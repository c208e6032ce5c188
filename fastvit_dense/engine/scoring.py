"""Scoring saved predictions, and the report that ends every scoring and every test."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope, init_default_scope

from ..config.building import explained_building
from ..config.loaders import datasets_of, evaluators_of
from ..datasets.check.datasets import quick_check
from ..datasets.loading import use_checked_loading
from ..errors import ConfigError
from ..evaluation.predictions import evaluate_predictions
from ..evaluation.record import EvaluationResult
from ..evaluation.report.content import change_note, change_text, measured_text
from ..evaluation.report.pictures import make_gallery, save_gallery
from ..evaluation.report.references import backbone_arch, find_references
from ..evaluation.report.writing import write_report
from ..tasks import Task, task_of
from ..tasks.config import load_config
from ..tasks.evaluators import own_evaluator, use_own_metrics


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
    quick_check(cfg, 'test_dataloader', with_files=False)
    use_checked_loading(cfg)
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    with explained_building(cfg):
        result = evaluate_predictions(evaluator, predictions, dataset)
    report_result(cfg, result, Path(predictions), {'evaluate': time.perf_counter() - start})
    return result.metrics


def report_result(
    cfg: Config,
    result: EvaluationResult,
    predictions: Path,
    seconds: dict[str, float],
    info: dict[str, Any] | None = None,
    expected: list[dict] | None = None,
    measured: Mapping[str, Any] | None = None,
) -> None:
    """Write the three report files and say where they are.

    Args:
        cfg: Of which the test dataset is used; the files go to its `work_dir`.
        result: Dataset and split are filled in where it names none.
        predictions: Where the predictions are, for the gallery.
        seconds: What took how long.
        info: `model_info` of the model, if there is one.
        expected: The config's `expected_results`.
        measured: What they are compared with; the result's metrics by default.
    """
    task = task_of(cfg)
    result.dataset = cfg.get('dataset_name') or result.dataset or _dataset_name(cfg, task)
    result.split = result.split or _split_name(cfg)
    result.protocol |= task.protocol(cfg)
    whole = _whole_split(cfg)
    if whole is not None:
        result.protocol['images_scored'] = f'{result.samples} of {whole}'
    gallery, note = make_gallery(cfg, result, predictions, task.draw)
    save_gallery(gallery, Path(cfg.work_dir) / 'pictures')
    references = find_references(
        task.published_for(cfg),
        result.dataset,
        result.samples,
        arch=backbone_arch(cfg),
        standin='hand_model' in result.protocol,
        split=result.split,
    )
    references = [row for row in references if not row['not_comparable']]
    report = write_report(
        result,
        cfg.work_dir,
        model_info=info,
        gallery=gallery,
        gallery_note=note,
        seconds=seconds,
        references=references,
        presentation=task.presentation,
        expected=expected,
        measured=measured,
    )
    if whole is not None and whole > result.samples:
        print(f'images scored: {result.samples} of {whole}, by the indices of the test dataset')
    print(json.dumps({name: round(value, 4) for name, value in result.metrics.items()}))
    if report['uncertainty']:
        print('; '.join(f'{name} {measured_text(report, name)}' for name in report['uncertainty']))
    if changed := change_note(report):
        told = dict.fromkeys(
            [*task.presentation.leading(report['metrics']), *report['uncertainty']]
        )
        changes = [f'{name} {text}' for name in told if (text := change_text(report, name))]
        print(f'{changed} {"; ".join(changes)}')
    print(f'report: {Path(cfg.work_dir) / "report.html"}')
    if gallery:
        print(f'pictures: {Path(cfg.work_dir) / "pictures"}')
    else:
        print(f'no pictures: {note}')


def _whole_split(cfg: Config) -> int | None:
    """Number of images of the test datasets without their `indices`; None where they have none."""
    datasets = list(datasets_of(cfg, ['test_dataloader']))
    if all(dataset.get('indices') is None for dataset in datasets):
        return None
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'):
        return sum(len(DATASETS.build({**d, 'indices': None, 'pipeline': []})) for d in datasets)


def image_size(cfg: Config) -> str | None:
    """Size that the test pipeline gives a picture, width x height; None where it changes none.

    With `keep_ratio` the longer side is at most the larger number, the shorter one the smaller.
    """
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    for step in dataset.get('pipeline') or ():
        size = step.get('scale') or step.get('size')
        if size:
            width, height = (size, size) if isinstance(size, int) else size
            return f'{width} x {height}' + (', ratio kept' if step.get('keep_ratio') else '')
    return None


def _split_name(cfg: Config) -> str:
    """The dataset's split, its list of pictures, or their folder."""
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    listed = Path(dataset.get('ann_file') or '')
    if listed.suffix == '.txt':
        return listed.stem
    folder = (dataset.get('data_prefix') or {}).get('img_path') or ''
    return dataset.get('split') or Path(folder).name


def _dataset_name(cfg: Config, task: Task) -> str:
    """The official dataset where its own classes are used, else the data folder's name."""
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    own_classes = (dataset.get('metainfo') or {}).get('classes')
    official = None if own_classes else task.official_datasets.get(dataset.type)
    return official or Path(dataset.get('data_root') or '.').resolve().name
