"""OpenMMLab's rough edges, in one place: this is the only module that knows them.

Two lines of OpenMMLab install under the same import names: the original releases (mmengine,
mmcv, mmdet, mmsegmentation) and the maintained onedl-* ones. The package runs on both; `install`
evens out what differs or is missing.
"""

import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import types
from typing import Any

from .imports import after_import

STAND_IN = 'mmcv._ext'
# module of mmcv -> operators that it does without
WITHOUT_PLACEHOLDER = {'mmcv.cnn.bricks.transformer': ('MultiScaleDeformableAttention',)}
# what a module calls an operator -> the operator
RENAMED = {'mmdet.models.dense_heads.clr_head.clr_head.nms': 'line_nms'}


def install() -> None:
    """Make the installed OpenMMLab usable; cheap, idempotent, imports nothing.

    - `_base_ = 'mmseg::...'` resolves by the import name: the distribution may be called
      mmsegmentation or onedl-mmsegmentation.
    - It resolves at once: mmengine reads every metafile of the library first, over a second for
      each config.
    - `mmcv._ext` is offered from torchvision where mmcv came without compiled operators; without
      that module mmdet cannot be imported.
    - mmengine reads the environment with distutils, which Python 3.12 no longer has.
    - It formats the same config four times before the first step, and again at each checkpoint.
    """
    after_import('mmengine.config.utils', _name_by_import)
    after_import('mmengine.config.config', _find_library_configs_by_path)
    after_import('mmengine.utils.dl_utils.collect_env', _find_distutils)
    after_import('yapf.yapflib.yapf_api', _format_once)
    if STAND_IN not in sys.modules and mmcv_is_installed() and not has_compiled_ops():
        sys.modules[STAND_IN] = _Operators(STAND_IN)
        _repeat_failed_imports()


def _find_distutils(collect_env: types.ModuleType) -> None:
    """Let setuptools stand in; its own .pth file does so only in the folder Python starts with."""
    if importlib.util.find_spec('distutils') is None and importlib.util.find_spec('setuptools'):
        importlib.import_module('setuptools')


def _format_once(yapf_api: types.ModuleType) -> None:
    """Let yapf remember the last text that it formatted."""
    format_code = yapf_api.FormatCode
    if getattr(format_code, 'remembers', False):
        return
    last: dict[Any, Any] = {}

    def remember(*args: Any, **kwargs: Any) -> Any:
        asked = repr((args, kwargs))
        if asked not in last:
            formatted = format_code(*args, **kwargs)
            last.clear()
            last[asked] = formatted
        return last[asked]

    remember.remembers = True  # type: ignore[attr-defined]
    yapf_api.FormatCode = remember  # type: ignore[attr-defined]


def _name_by_import(utils: types.ModuleType) -> None:
    utils.MODULE2PACKAGE['mmseg'] = 'mmseg'


def _find_library_configs_by_path(config: types.ModuleType) -> None:
    search = config._get_external_cfg_path
    if getattr(search, 'by_path', False):
        return

    def find(package_path: str, cfg_file: str) -> str:
        path = os.path.join(package_path, '.mim', 'configs', cfg_file)
        return path if os.path.isfile(path) else search(package_path, cfg_file)

    find.by_path = True  # type: ignore[attr-defined]
    config._get_external_cfg_path = find  # type: ignore[attr-defined]


def swaps_channels(preprocessor: Any) -> bool:
    """Tell whether a data preprocessor reverses the channels; mmseg 1.2.2 has another name."""
    names = ('_channel_conversion', 'channel_conversion')
    return any(getattr(preprocessor, name, False) for name in names)


def mmcv_is_installed() -> bool:
    """Tell whether any mmcv can be imported."""
    return importlib.util.find_spec('mmcv') is not None


def has_compiled_ops() -> bool:
    """Tell whether mmcv came with its compiled operators; looks at files, imports nothing."""
    mmcv = importlib.util.find_spec('mmcv')
    if mmcv is None or mmcv.submodule_search_locations is None:
        return False
    folders = list(mmcv.submodule_search_locations)
    return importlib.machinery.PathFinder.find_spec(STAND_IN, folders) is not None


def uses_stand_in() -> bool:
    """Tell whether `mmcv._ext` is the stand-in made from torchvision."""
    return isinstance(sys.modules.get(STAND_IN), _Operators)


class _Operators(types.ModuleType):
    """The module `mmcv._ext`: torchvision_ops' functions; any other name refuses when called.

    mmcv asks for the names of all its operators while it is imported, so every name exists.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, 'Operators of mmcv from torchvision; see fastvit_dense.')
        # mmengine looks for the module with find_spec, which wants a spec.
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')
        from . import operators as torchvision_ops

        operator = torchvision_ops.OPERATORS.get(name) or torchvision_ops.missing_operator(name)
        setattr(self, name, operator)
        return operator


def _repeat_failed_imports() -> None:
    """Give the operators to modules that were imported too early to find them.

    Where `from mmcv.ops import nms` fails, OpenMMLab's modules put a placeholder in its place, and
    stay so for good.
    """
    early = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(('mmdet.', 'mmseg.')) or name in WITHOUT_PLACEHOLDER
    ]
    if not early:
        return
    operators: dict[str, Any] = {}
    for name in ('mmcv.ops.merge_cells', 'mmcv.ops'):
        operators |= vars(importlib.import_module(name))
    for module in early:
        for name, value in list(vars(module).items()):
            operator = RENAMED.get(f'{module.__name__}.{name}', name.removeprefix('_'))
            if callable(operators.get(operator)) and _is_placeholder(value):
                setattr(module, name, operators[operator])
        for name in WITHOUT_PLACEHOLDER.get(module.__name__, ()):
            setattr(module, name, operators[name])


def _is_placeholder(value: Any) -> bool:
    """Tell whether it is None, or takes anything, as those do that raise when called."""
    if value is None:
        return True
    own = getattr(value, '__module__', '').startswith(('mmdet.', 'mmseg.'))
    return own and callable(value) and str(inspect.signature(value)) == '(*args, **kwargs)'
