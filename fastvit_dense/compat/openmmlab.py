"""OpenMMLab's rough edges, in one place: this is the only module that knows them.

Two lines of OpenMMLab install under the same import names: the original releases (mmengine,
mmcv, mmdet, mmsegmentation) and the maintained onedl-* ones. The package runs on both; `install`
evens out what differs or is missing.
"""

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import types
import warnings
from typing import Any, TypeGuard

STAND_IN = 'mmcv._ext'


def install() -> None:
    """Make the installed OpenMMLab usable; called when the package is imported, cheap, idempotent.

    - `_base_ = 'mmseg::...'` resolves by the import name: the distribution may be called
      mmsegmentation or onedl-mmsegmentation.
    - It resolves at once: mmengine reads every metafile of the library first, over a second for
      each config.
    - `mmcv._ext` is offered from torchvision where mmcv came without compiled operators; without
      that module mmdet cannot be imported.
    - mmengine 0.10.7 reads package versions through pkg_resources, whose notice of its own end is
      nothing that a user of ours can act on.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE['mmseg'] = 'mmseg'
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated as an API')
    _find_library_configs_by_path()
    if STAND_IN not in sys.modules and mmcv_is_installed() and not has_compiled_ops():
        sys.modules[STAND_IN] = _Operators(STAND_IN)
        _repeat_failed_imports()


def _find_library_configs_by_path() -> None:
    from mmengine.config import config

    search = config._get_external_cfg_path
    if getattr(search, 'by_path', False):
        return

    def find(package_path: str, cfg_file: str) -> str:
        path = os.path.join(package_path, '.mim', 'configs', cfg_file)
        return path if os.path.isfile(path) else search(package_path, cfg_file)

    find.by_path = True  # type: ignore[attr-defined]
    config._get_external_cfg_path = find


def swaps_channels(preprocessor: Any) -> bool:
    """Whether a data preprocessor reverses the channels; mmseg 1.2.2 has its own name for it."""
    names = ('_channel_conversion', 'channel_conversion')
    return any(getattr(preprocessor, name, False) for name in names)


def mmcv_is_installed() -> bool:
    """Whether any mmcv can be imported."""
    return importlib.util.find_spec('mmcv') is not None


def has_compiled_ops() -> bool:
    """Whether mmcv came with its compiled operators; looks at files, imports nothing."""
    mmcv = importlib.util.find_spec('mmcv')
    if mmcv is None or mmcv.submodule_search_locations is None:
        return False
    folders = list(mmcv.submodule_search_locations)
    return importlib.machinery.PathFinder.find_spec(STAND_IN, folders) is not None


def uses_stand_in() -> bool:
    """Whether `mmcv._ext` is the stand-in made from torchvision."""
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

    Where `from mmcv.ops import nms` fails, OpenMMLab's modules put None or a function that raises
    in its place and stay so for good.
    """
    for name, module in list(sys.modules.items()):
        if name.partition('.')[0] not in ('mmcv', 'mmdet', 'mmseg') or not getattr(
            module.__spec__, 'has_location', False
        ):
            continue
        for guarded in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(guarded, ast.Try):
                continue
            for statement in guarded.body:
                if isinstance(statement, ast.ImportFrom) and _is_ops(statement.module):
                    ops = importlib.import_module(statement.module)
                    for alias in statement.names:
                        setattr(module, alias.asname or alias.name, getattr(ops, alias.name))


def _is_ops(module: str | None) -> TypeGuard[str]:
    return module is not None and f'{module}.'.startswith('mmcv.ops.')
