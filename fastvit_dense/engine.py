"""Training, testing, scoring and predicting: what the command lines call."""

import logging
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner

from .building import explained_building, try_building
from .config import (
    ConfigError,
    datasets_of,
    default_work_dir,
    load_config,
    use_own_metric,
)
from .config_checks import check_channels, check_pretrained, check_settings
from .deploy import is_exported
from .distributed import adapt_sync_bn, join_processes
from .evaluation.compare import change_from, read_report
from .reporting import image_size, report_result
from .runner import StrictRunner, fitting_weights

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


def train(
    config: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    work_dir: str | None = None,
    resume: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    launcher: str = 'none',
) -> Runner:
    """Train the model of a config.

    Args:
        config: Config file.
        sample: Use the embedded sample data.
        cfg_options: `key=value` strings.
        work_dir: Where logs and checkpoints go; by default `work_dirs/CONFIG`.
        resume: 'auto' for the latest checkpoint of the work dir, or a checkpoint file.
        amp: Automatic mixed precision.
        auto_scale_lr: Scale the learning rate from the config's batch size to this run's.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Returns:
        The runner, trained.

    Raises:
        ConfigError, DataError, CheckpointError, CheckpointMismatch: With what is wrong and where.
    """
    cfg = load_config(config, sample=sample, cfg_options=cfg_options, pretrained=not resume)
    cfg.work_dir = work_dir or cfg.get('work_dir') or default_work_dir(config)
    cfg.launcher = launcher
    if resume:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else _existing(resume)
        if resume == 'auto' and not (Path(cfg.work_dir) / 'last_checkpoint').is_file():
            print_log(
                f'--resume: no checkpoint in {cfg.work_dir}: training starts anew, from random '
                'weights; without --resume it would start from the pretrained file, if any',
                'current',
                logging.WARNING,
            )
    if amp:
        if not torch.cuda.is_available():
            raise ConfigError(
                '--amp: needs a GPU, none was found; leave it out to train on the CPU'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if auto_scale_lr:
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            raise ConfigError(f'{config}: --auto-scale-lr needs auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    with explained_building(cfg):
        runner = build_runner(cfg, ('train_dataloader', 'val_dataloader'))
        runner.train()
    return runner


def evaluate_checkpoint(
    config: str,
    checkpoint: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    work_dir: str | None = None,
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
    cfg = load_config(config, sample=sample, cfg_options=cfg_options, pretrained=False)
    cfg.work_dir = work_dir or cfg.get('work_dir') or default_work_dir(config)
    cfg.launcher = launcher
    use_own_metric(cfg)
    expected = _expected_results(cfg, required=verify)
    _existing(checkpoint)
    before = read_report(baseline) if baseline else None
    model_cfg, exported = cfg.model, is_exported(checkpoint)
    if exported:
        if launcher != 'none':
            raise ConfigError(f'--launcher {launcher}: an exported file is scored in one process')
        from .deploy.runtime import exported_model_cfg

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
    metric = runner.test_evaluator.metrics[0]
    own_folder = getattr(metric, 'predictions_dir', None)  # output_dir of the evaluator
    keep = Path(save_predictions or own_folder or Path(cfg.work_dir) / 'predictions')
    if hasattr(metric, 'save_predictions'):
        metric.save_predictions(keep)
    start = time.perf_counter()
    with explained_building(cfg):
        metrics = runner.test()
    seconds = time.perf_counter() - start
    result = getattr(metric, 'result', None)
    if not is_main_process():
        return 0
    if result is None:
        print(f'predictions only, in {keep}: no scores, hence no report')
        return 0
    result.protocol |= {'form': form, 'image_size': image_size(cfg)}
    if before:
        result.protocol.update(change_from(before, result))
    report_result(cfg, result, keep, {'test': seconds}, info, expected)
    if verify:
        from .evaluation.verify import verify_results

        misses = verify_results(metrics, expected)
        for miss in misses:
            print(miss)
        return int(bool(misses))
    return 0


def _load_for_test(
    model: torch.nn.Module, cfg: Config, checkpoint: str, fuse: bool
) -> dict[str, Any] | None:
    """Load and perhaps fold a model; what the report says of it, in the main process."""
    from .backbones import reparameterize
    from .checkpoint import load_model_state
    from .evaluation.report import model_info

    load_model_state(model, checkpoint)
    if fuse:
        reparameterize(model.eval())
    return model_info(model, cfg, checkpoint) if is_main_process() else None


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

    from .datasets.loading import use_checked_loading
    from .evaluation.predictions import evaluate_predictions

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


def predict(
    config: str,
    checkpoint: str,
    images: str,
    out_dir: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    fuse: bool = False,
) -> list[Path]:
    """Predict pictures; for each NAME.jpg write NAME.png and NAME.json to `out_dir`.

    Pictures that cannot be read are named, and the rest goes on; where none could be read, or
    there is none, it is an error.
    """
    from rich.progress import track

    from .backbones import reparameterize
    from .inference import ImageError, load_model

    paths = list_images(images)
    names = _output_names(paths)
    pictures = {path.resolve() for path in paths}
    for name in names.values():
        if Path(out_dir, f'{name}.png').resolve() in pictures:
            raise ImageError(f'{out_dir}/{name}.png would be overwritten; choose another --out-dir')
    cfg = load_config(config, sample=sample, cfg_options=cfg_options, pretrained=False)
    model = load_model(cfg, checkpoint)
    if fuse:
        reparameterize(model.model)
    written, broken = [], []
    for path in track(paths, description='predicting', disable=len(paths) < 2):
        try:
            result = model(path)
        except ImageError as error:
            broken.append(str(error))
            continue
        base = f'{out_dir}/{names[path]}'
        written.append(result.save(f'{base}.png'))
        result.save(f'{base}.json')
        if model.task == 'semantic':
            result.save_labels(f'{base}_labels.png')
        if model.task == 'hand':
            result.save(f'{base}.obj')
    for line in broken:
        print(f'skipped: {line}')
    if not written:
        raise ImageError(f'{images}: none of {len(paths)} pictures could be read')
    print(f'{len(written)} pictures and their JSON in {out_dir}')
    return written


def list_images(path: str) -> list[Path]:
    """The picture, or the pictures of a folder by name.

    Raises:
        ImageError: There is none.
    """
    from .inference import ImageError

    root = Path(path)
    if root.is_dir():
        found = sorted(p for p in root.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise ImageError(f'{path}: no pictures ({" ".join(IMAGE_SUFFIXES)}) in this folder')
        return found
    if not root.is_file():
        raise ImageError(f'{path}: no such file or folder')
    return [root]


def _output_names(paths: list[Path]) -> dict[Path, str]:
    """The name of each picture without its suffix, with it where two differ in that alone."""
    stems = Counter(path.stem for path in paths)
    return {p: p.stem if stems[p.stem] == 1 else p.name.replace('.', '_') for p in paths}


def build_runner(cfg: Config, loaders: tuple[str, ...], training: bool = True) -> Runner:
    """Build mmengine's runner after checking the config, and the data that it will read.

    Args:
        cfg: A config from `load_config`, with `work_dir` and `launcher` set.
        loaders: The dataloaders whose annotations are checked first.
        training: False leaves out what only training needs.
    """
    from .datasets.check import quick_check
    from .datasets.loading import use_checked_loading

    check_settings(cfg, loaders)
    check_channels(cfg)
    if training:
        _check_start(cfg)
    for loader in loaders:
        if cfg.get(loader):
            quick_check(cfg, loader)
    if not training:
        for key in (
            'train_dataloader',
            'train_cfg',
            'optim_wrapper',
            'param_scheduler',
            'auto_scale_lr',
            'val_dataloader',
            'val_cfg',
            'val_evaluator',
        ):
            cfg.pop(key, None)
        cfg.load_from, cfg.resume = None, False
    elif not cfg.get('val_dataloader'):
        cfg.pop('val_cfg', None)
        cfg.pop('val_evaluator', None)
    use_checked_loading(cfg)
    join_processes(cfg)
    adapt_sync_bn(cfg)
    return StrictRunner.from_cfg(cfg)


def _check_start(cfg: Config) -> None:
    """Check what training starts from: all that can be built, and files on this disk."""
    from .checkpoint import load_model_state

    check_pretrained(cfg)
    model = try_building(cfg)
    path = str(cfg.get('load_from') or '')
    if path and '://' not in path:
        _existing(path)
        if model is not None:
            (load_model_state if cfg.get('resume') else fitting_weights)(model, path)


def _existing(path: str) -> str:
    from .checkpoint import CheckpointError

    if '://' not in path and not Path(path).expanduser().is_file():
        raise CheckpointError(f'{path}: no such checkpoint file')
    return path


def _expected_results(cfg: Config, required: bool) -> list[dict] | None:
    from .evaluation.verify import check_results

    expected = cfg.get('expected_results')
    if expected:
        check_results({}, expected)  # a malformed entry is told before hours of evaluation
    elif required:
        raise ConfigError(f'{cfg.filename}: --verify: the config carries no expected_results')
    return expected
