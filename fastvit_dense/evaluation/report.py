"""The report of an evaluation: ``report.json``, ``report.md`` and ``report.html``."""

import copy
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_files
from .metric_names import is_number
from .references import find_references
from .report_markdown import render_markdown
from .result import EvaluationResult
from .verify import check_results

_PACKAGES = (
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmdet',
    'mmsegmentation',
    'faster-coco-eval',
    'pycocotools',
    'numpy',
    'scipy',
)


# What multiply-accumulates are counted on: the sizes that papers count on.
_MACS_SIZES = {'instance': (800, 1280), 'semantic': (512, 512), 'hand': (224, 224)}


def write_report(
    result: EvaluationResult,
    work_dir: str | Path,
    *,
    model_info: Mapping[str, Any] | None = None,
    gallery: Sequence[tuple] = (),
    gallery_note: str = 'no images at hand',
    environment: Mapping[str, Any] | None = None,
    seconds: Mapping[str, float] | None = None,
    references: Sequence[Mapping[str, Any]] | None = None,
    expected: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write the three files of a report at the top of ``work_dir``, all of them or none.

    Args:
        result: What was measured.
        work_dir: Folder to write into; made if it does not exist.
        model_info: What `model_info` gives; None when predictions were scored without a model.
        gallery: Entries ``(title, score, picture)`` or ``(title, score, picture, group)`` in the
            order to show them: ``picture`` is a path or a PIL image of the prediction beside the
            ground truth, ``group`` a heading such as ``'Best'``.
        gallery_note: Why the gallery is left out; used when ``gallery`` is empty.
        environment: Versions and devices; None collects them here.
        seconds: Wall time by phase.
        references: Published rows, see `find_references`; None takes the paper's own rows for the
            task.
        expected: The config's ``expected_results``; each is shown beside what was measured.

    Returns:
        The content of ``report.json``: full precision, NaN and infinity as None.
    """
    from .report_html import render_report

    if references is None:
        references = find_references(
            result.task, result.dataset, result.samples, split=result.split
        )
    report = {
        'task': result.task,
        'dataset': result.dataset,
        'split': result.split,
        'samples': result.samples,
        'metrics': result.metrics,
        'per_class': result.per_class,
        'curves': result.curves,
        'reference': list(references),
        'protocol': result.protocol,
        'model': None if model_info is None else dict(model_info),
        'environment': collect_environment() if environment is None else dict(environment),
        'seconds': dict(seconds or {}),
    }
    if expected:
        report['expected'] = check_results(result.metrics, expected)
    report = to_json(report)
    texts = {
        'report.html': render_report(report, result.arrays, gallery, gallery_note),
        'report.md': render_markdown(report),
        'report.json': json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + '\n',
    }
    write_files(work_dir, texts)
    return report


def to_json(value: Any) -> Any:
    """``value`` with everything in it as plain JSON: NaN and infinity become None.

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


def model_info(model: Any, cfg: Any, checkpoint: str | Path | None) -> dict[str, Any] | None:
    """What a report says of the model; None without a checkpoint.

    Args:
        model: The ``torch.nn.Module`` that was scored.
        cfg: Its config.
        checkpoint: The file that its weights came from.

    Returns:
        ``config`` (its path from ``configs`` on, or its name), ``checkpoint_sha256``,
        ``parameters`` (a count), ``macs`` (None where they cannot be counted) and ``macs_of``:
        what was counted, at which input size.
    """
    if checkpoint is None:
        return None
    macs, macs_of = _count_macs(getattr(model, 'module', model))
    return {
        'config': _public_path(getattr(cfg, 'filename', None)),
        'checkpoint_sha256': file_sha256(checkpoint),
        'parameters': sum(parameter.numel() for parameter in model.parameters()),
        'macs': macs,
        'macs_of': macs_of,
    }


def _count_macs(model: Any) -> tuple[int | None, str]:
    """Multiply-accumulates of one image, counted on a copy without data or arithmetic.

    A detector's heads depend on what it finds in the image, so they are left out.
    """
    import torch
    from mmengine.logging import print_log

    from ..backbones.macs import count_macs

    is_detector = hasattr(model, 'bbox_head') or hasattr(model, 'roi_head')
    task = 'instance' if is_detector else 'semantic' if hasattr(model, 'decode_head') else 'hand'
    height, width = _MACS_SIZES[task]
    macs_of = f'{"backbone and neck" if is_detector else "whole model"}, {height}x{width}'
    try:
        on_meta = copy.deepcopy(model).to('meta').eval()
        run = on_meta.extract_feat if is_detector else on_meta
        return count_macs(run, torch.empty(1, 3, height, width, device='meta')), macs_of
    except Exception as error:  # a model of someone else may need real numbers to run
        print_log(f'MACs were not counted: {error}', 'current')
        return None, macs_of


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def collect_environment() -> dict[str, Any]:
    """Python, system, devices and package versions; nothing that names a user or a folder."""
    import torch

    from ..version import __version__

    packages = {'fastvit_dense': __version__}
    for name in _PACKAGES:
        version = _package_version(name)
        if version:
            packages[name] = version
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        'python': platform.python_version(),
        'system': f'{platform.system()} {platform.machine()}',
        'cpu': _cpu_name(),
        'cpu_cores': os.cpu_count(),
        'gpu': ', '.join(gpus) or None,
        'packages': packages,
    }


def _package_version(name: str) -> str | None:
    """Version of a package, or of the onedl build that provides the same module."""
    onedl = {'mmdet': 'onedl-mmdetection', 'mmsegmentation': 'onedl-mmsegmentation'}
    for candidate in (name, onedl.get(name, f'onedl-{name}')):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _cpu_name() -> str:
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            names = [line.partition(':')[2].strip() for line in file if 'model name' in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _public_path(path: Any) -> str | None:
    """A config's path from ``configs`` on, or its name: nothing that stands before names a user."""
    if path is None:
        return None
    parts = Path(path).parts
    if 'configs' not in parts:
        return parts[-1]
    start = len(parts) - 1 - parts[::-1].index('configs')
    return Path(*parts[start:]).as_posix()
