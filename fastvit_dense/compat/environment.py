"""Report of what is installed, what does not fit together, and the command that mends it.

Only the standard library and package metadata are read, so that this works where torch or mmcv is
missing or broken. `python -m fastvit_dense` prints it.
"""

import importlib
import importlib.util
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata

from ..version import __version__
from .openmmlab import has_compiled_ops
from .versions import (
    COMPILE_MMCV,
    DISTRIBUTIONS,
    EXTRAS,
    MMCV_RANGE,
    OPENCV,
    PLAIN_REQUIREMENTS,
    SYSTEM_PACKAGES,
    TESTED,
    TORCH,
)


@dataclass(frozen=True)
class Problem:
    """Something that does not fit.

    Attributes:
        what: The finding, one line.
        command: What mends it.
        required: Whether the package cannot do its main work before it is mended.
    """

    what: str
    command: str
    required: bool = True


def installed_distributions() -> dict[str, str]:
    """Versions of all installed distributions, by normalised name (`onedl-mmcv`)."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata['Name']
        if name:
            found.setdefault(re.sub(r'[-_.]+', '-', name).lower(), distribution.version)
    return found


def find_problems(installed: Mapping[str, str]) -> list[Problem]:
    """Find what package metadata alone shows to be wrong; imports nothing.

    Args:
        installed: Versions by distribution name, as from `installed_distributions`.

    Returns:
        The problems, those that stand in the way of the others' mending first.
    """
    return [
        *_python_problems(),
        *_torch_problems(installed),
        *_openmmlab_problems(installed),
        *_other_problems(installed),
    ]


def _python_problems() -> list[Problem]:
    if sys.version_info >= (3, 11):  # noqa: UP036  (a checkout runs without being installed)
        return []
    what = f'Python {platform.python_version()} is too old: 3.11 or newer is needed'
    return [Problem(what, 'python3.11 -m venv .venv')]


def _torch_problems(installed: Mapping[str, str]) -> list[Problem]:
    missing = [n for n in ('torch', 'torchvision') if n not in installed and not _importable(n)]
    if missing:
        return [Problem(f'{" and ".join(missing)} not installed', f'pip install {TORCH}')]
    problems = []
    torch, torchvision = installed.get('torch'), installed.get('torchvision')
    wanted = _pinned_torch() if torchvision else None
    if torch and wanted and _release(torch) != _release(wanted):
        what = f'torchvision {torchvision} was built for torch {wanted}, but torch {torch} is here'
        problems.append(Problem(what, f'pip install {TORCH}'))
    pytorch3d = installed.get('easypytorch3d')
    if torch and pytorch3d and _release(torch)[:2] != (2, 11):
        what = (
            f'easypytorch3d {pytorch3d} (hand mesh) loads with torch 2.11 only, not torch {torch}'
        )
        problems.append(Problem(what, f'pip install {TORCH}', required=False))
    return problems


def _openmmlab_problems(installed: Mapping[str, str]) -> list[Problem]:
    tested = TESTED[_line(installed)]
    problems = []
    for module, names in DISTRIBUTIONS.items():
        present = [name for name in names if name in installed]
        if len(present) > 1:
            what = f'{" and ".join(present)} are both installed, into the same folder {module}/'
            mend = f'pip uninstall -y {" ".join(present)} && pip install {tested[module]}'
            problems.append(Problem(what, mend))
    gone = [module for module in DISTRIBUTIONS if not _importable(module)]
    missing = [m for m in gone if not any(name in installed for name in DISTRIBUTIONS[m])]
    if missing:
        mend = 'pip install ' + ' '.join(tested[module] for module in missing)
        problems.append(Problem(f'{", ".join(missing)} not installed', mend))
    for module in (module for module in gone if module not in missing):
        claimed = [name for name in DISTRIBUTIONS[module] if name in installed]
        what = f'{" and ".join(claimed)} installed, but there is no {module} to import'
        mend = f'pip install --force-reinstall --no-deps {tested[module]}'
        problems.append(Problem(what, mend))

    mmcv = next((n for n in DISTRIBUTIONS['mmcv'] if n in installed), None)
    for name, (lowest, limit) in MMCV_RANGE.items():
        if mmcv is None or name not in installed:
            continue
        if not _release(lowest) <= _release(installed[mmcv]) < _release(limit):
            what = (
                f'{name} {installed[name]} refuses {mmcv} {installed[mmcv]}: '
                f'it takes {lowest} or newer below {limit}'
            )
            mend = f'pip uninstall -y {mmcv} && pip install {tested["mmcv"]}'
            problems.append(Problem(what, mend))
            break
    if 'mmengine' in installed and not _importable('pkg_resources'):
        what = (
            f"mmengine {installed['mmengine']} needs pkg_resources for `_base_ = 'mmdet::...'`; "
            f'setuptools {installed.get("setuptools", "(not installed)")} does not have it'
        )
        problems.append(Problem(what, 'pip install "setuptools<81"'))
    if 'mmsegmentation' in installed and not _importable('ftfy'):
        what = f'mmsegmentation {installed["mmsegmentation"]} imports ftfy, which is not installed'
        problems.append(Problem(what, 'pip install ftfy regex'))
    return problems


def _other_problems(installed: Mapping[str, str]) -> list[Problem]:
    missing = [name for name in PLAIN_REQUIREMENTS if name not in installed]
    if not _importable('cv2'):
        missing.append('opencv-python-headless')
    if not missing:
        return []
    return [Problem(f'{", ".join(missing)} not installed', 'pip install ' + ' '.join(missing))]


def find_import_problems(
    installed: Mapping[str, str], load_types: Callable[[], None] | None = None
) -> list[Problem]:
    """Find what shows only when the libraries are loaded: torch, OpenCV, mmcv's compiled operators.

    Takes seconds. Args and result as of `find_problems`; `load_types` loads the package itself.
    """
    modules = ['torch', 'torchvision', 'cv2'] if _importable('torch') else ['cv2']
    if _importable('torch') and has_compiled_ops():
        modules.append('mmcv._ext')
    problems = []
    for module in modules:
        if module == 'mmcv._ext' or _importable(module):
            try:
                importlib.import_module(module)
            except Exception as error:
                problems.append(_import_problem(module, error, installed))
    if load_types is not None and not problems and not find_problems(installed):
        try:
            load_types()
        except Exception as error:
            problems.append(_import_problem('fastvit_dense', error, installed))
    return problems


def _import_problem(module: str, error: Exception, installed: Mapping[str, str]) -> Problem:
    reason = f'{type(error).__name__}: {error}'.splitlines()[0]
    if module == 'mmcv._ext':
        name = next((n for n in DISTRIBUTIONS['mmcv'] if n in installed), 'mmcv')
        what = f"{name}'s compiled operators do not load (built for another torch?): {reason}"
        mend = f'{COMPILE_MMCV}; or do without: pip uninstall -y {name} && pip install '
        return Problem(what, mend + TESTED[_line(installed)]['mmcv'])
    mend = f'pip install --force-reinstall {TORCH}'
    for library, package in SYSTEM_PACKAGES.items():
        if library in str(error):
            variants = [name for name in OPENCV if name in installed]
            mend = (
                f'apt-get install {package}   or, without a display, '
                f'pip uninstall -y {" ".join(variants)} && pip install opencv-python-headless'
            )
            return Problem(f'OpenCV needs {library}: {reason}', mend)
    if module == 'cv2':
        mend = 'pip install --force-reinstall --no-deps opencv-python-headless'
    elif module == 'fastvit_dense':
        mend = 'python -c "import fastvit_dense" shows where'
    return Problem(f'import {module} fails: {reason}', mend)


def explain(error: Exception) -> str | None:
    """One line on why `import fastvit_dense` failed, or None where the environment is not to blame.

    Args:
        error: What the import raised.
    """
    installed = installed_distributions()
    problem = next((p for p in find_problems(installed) if p.required), None)
    if problem is None and any(library in str(error) for library in SYSTEM_PACKAGES):
        problem = _import_problem('cv2', error, installed)
    if problem is None:
        return None
    return f'{problem.what}. To mend it: {problem.command}   (all: python -m fastvit_dense)'


def describe(installed: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs (what, version) for the report, in the order to read them. Loads torch if it can."""
    rows = [
        ('fastvit_dense', __version__),
        ('python', f'{platform.python_version()} on {platform.system()} {platform.machine()}'),
        ('torch', installed.get('torch', 'not installed')),
        ('torchvision', installed.get('torchvision', 'not installed')),
        ('accelerator', _accelerator()),
    ]
    for module, names in DISTRIBUTIONS.items():
        present = [f'{installed[name]} ({name})' for name in names if name in installed]
        unpackaged = 'version unknown (no package metadata)' if _importable(module) else None
        rows.append((module, ', '.join(present) or unpackaged or 'not installed'))
    if _importable('mmcv'):
        compiled = has_compiled_ops()
        rows.append(('mmcv operators', 'compiled' if compiled else 'stand-in from torchvision'))
    opencv = ', '.join(f'{installed[name]} ({name})' for name in OPENCV if name in installed)
    rows.append(('opencv', opencv or 'not installed'))
    rows += [(name, installed.get(name, 'not installed')) for name in PLAIN_REQUIREMENTS]
    rows.append(('setuptools', installed.get('setuptools', 'not installed')))
    for name, purpose in EXTRAS.items():
        rows.append((name, installed.get(name, f'not installed ({purpose})')))
    return rows


def _accelerator() -> str:
    try:
        import torch

        if torch.cuda.is_available():
            names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
            return f'{", ".join(names)} (CUDA {torch.version.cuda})'
        if torch.backends.mps.is_available():
            return 'Apple GPU (MPS)'
    except Exception as error:
        return f'unknown: torch does not work ({type(error).__name__})'
    if shutil.which('nvidia-smi'):
        return f'none: an NVIDIA driver is here, but torch {torch.__version__} does not see a GPU'
    return 'none, CPU only'


def main(load_types: Callable[[], None] | None = None) -> int:
    """Print the environment and its problems.

    Args:
        load_types: Loads the package itself, where that is to be tried too.

    Returns:
        1 where something required is wrong, else 0: the exit status.
    """
    installed = installed_distributions()
    lines = [f'{name:<19}{value}' for name, value in describe(installed)]
    problems = [*find_problems(installed), *find_import_problems(installed, load_types)]
    for problem in problems:
        lines += ['', f'{"WRONG" if problem.required else "note"}: {problem.what}']
        lines.append(f'  mend: {problem.command}')
    wrong = any(problem.required for problem in problems)
    if not wrong:
        lines += ['', 'Everything required is here and fits.']
    print('\n'.join(lines))
    return int(wrong)


def _line(installed: Mapping[str, str]) -> str:
    """Name which of OpenMMLab's two lines this environment is on."""
    has_original = any(name in installed for name in ('mmdet', 'mmsegmentation', 'mmengine'))
    has_onedl = any(name in installed for name in ('onedl-mmdetection', 'onedl-mmsegmentation'))
    return 'original' if has_original and not has_onedl else 'onedl'


def _importable(module: str) -> bool:
    """Tell whether a top-level module is there, without importing it."""
    if sys.modules.get(module):
        return True
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None  # without origin: a left-over folder


def _pinned_torch() -> str | None:
    """The torch version that the installed torchvision names."""
    try:
        requirements = metadata.requires('torchvision') or []
    except metadata.PackageNotFoundError:
        return None
    for requirement in requirements:
        match = re.match(r'torch\s*\(?\s*==\s*([\w.+]+)', requirement)
        if match:
            return match.group(1)
    return None


def _release(version: str) -> tuple[int, int, int]:
    """The three release numbers of a version: '2.11.0+cu130' is (2, 11, 0)."""
    numbers = [int(n) for n in re.findall(r'\d+', re.split(r'[+a-z]', version, maxsplit=1)[0])]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch
