"""What a config adds to a report: names, pictures, published rows."""

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config.loaders import datasets_of

OFFICIAL_NAMES = {'CocoDataset': 'COCO', 'ADE20KDataset': 'ADE20K', 'FreiHAND': 'FreiHAND'}


def report_result(
    cfg: Config,
    result: Any,
    predictions: Path,
    seconds: dict[str, float],
    info: dict[str, Any] | None = None,
    expected: list[dict] | None = None,
) -> None:
    """Write the three report files and say where they are.

    Args:
        cfg: Of which the test dataset is used; the files go to its `work_dir`.
        result: The `EvaluationResult`; dataset and split are filled in where it names none.
        predictions: Where the predictions are, for the gallery.
        seconds: What took how long.
        info: `model_info` of the model, if there is one.
        expected: The config's `expected_results`.
    """
    from ..evaluation.report.pictures import make_gallery, save_gallery
    from ..evaluation.report.references import backbone_arch, find_references
    from ..evaluation.report.writing import write_report

    result.dataset = cfg.get('dataset_name') or result.dataset or _dataset_name(cfg)
    result.split = result.split or _split_name(cfg)
    if result.task == 'hand' and _has_standin(cfg):
        result.protocol['hand_model'] = 'stand-in, not MANO'
    if result.task == 'hand' and (errors := _errors_of_mean_pose(cfg)):
        result.protocol['mean_pose'] = ', '.join(f'{k} {v:.2f} mm' for k, v in errors.items())
    gallery, note = make_gallery(cfg, result, predictions)
    save_gallery(gallery, Path(cfg.work_dir) / 'pictures')
    references = find_references(
        result.task,
        result.dataset,
        result.samples,
        arch=backbone_arch(cfg),
        standin='hand_model' in result.protocol,
        split=result.split,
    )
    write_report(
        result,
        cfg.work_dir,
        model_info=info,
        gallery=gallery,
        gallery_note=note,
        seconds=seconds,
        references=references,
        expected=expected,
    )
    print(json.dumps({name: round(value, 4) for name, value in result.metrics.items()}))
    print(f'report: {Path(cfg.work_dir) / "report.html"}')
    if gallery:
        print(f'pictures: {Path(cfg.work_dir) / "pictures"}')
    else:
        print(f'no pictures: {note}')


def image_size(cfg: Config) -> str | None:
    """What the test pipeline makes of a picture, width x height; None where it leaves it as it is.

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
    """The dataset's split, or the folder of its pictures."""
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    folder = (dataset.get('data_prefix') or {}).get('img_path') or ''
    return dataset.get('split') or Path(folder).name


def _has_standin(cfg: Config) -> bool:
    """Whether the stand-in hand made the predictions or the truth."""
    datasets = datasets_of(cfg, ['test_dataloader'])
    return bool((cfg.model.get('mano') or {}).get('standin')) or any(
        dataset.get('mano') == 'standin' for dataset in datasets
    )


def _errors_of_mean_pose(cfg: Config) -> dict[str, float] | None:
    """What the mean pose would score; None without MANO's file, or where the truth is not here."""
    from ..evaluation.label_maps import build_lazily
    from ..evaluation.mean_pose import mean_pose_errors
    from ..hand.regressor import build_mano

    dataset = build_lazily(next(datasets_of(cfg, ['test_dataloader'])))
    truth = dataset.annotations
    mano = cfg.model.get('mano') or {}
    file_is_here = mano.get('standin') or Path(mano.get('path') or '').is_file()
    if not file_is_here or 'xyz' not in truth or 'verts' not in truth:
        return None
    numbers = [number % len(truth['xyz']) for number in sorted(dataset.image_numbers())]
    return mean_pose_errors(truth['xyz'][numbers], truth['verts'][numbers], build_mano(mano))


def _dataset_name(cfg: Config) -> str:
    """The official dataset where its own classes are used, else the data folder's name."""
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    own_classes = (dataset.get('metainfo') or {}).get('classes')
    official = None if own_classes else OFFICIAL_NAMES.get(dataset.type)
    return official or Path(dataset.get('data_root') or '.').resolve().name
