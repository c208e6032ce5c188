"""The machine and the software, as reports tell of them."""

import importlib.metadata
import os
import platform
from typing import Any

_PACKAGES = (
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmdet',
    'mmsegmentation',
    'hotcoco',
    'pycocotools',
    'numpy',
    'scipy',
)


def collect_environment() -> dict[str, Any]:
    """Python, system, devices and package versions; nothing that names a user or a folder."""
    import torch

    from ...version import __version__

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
