"""Reading a config file."""

import difflib
import os
import traceback
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoints.published import CONFIG_OF, published_name
from ..errors import ConfigError, FastViTDenseError
from .loaders import LOADERS
from .walk import dicts_of

DATASETS = tuple(f'{loader}.dataset' for loader in LOADERS)
RUN = ('train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'default_hooks', 'log_processor')
SETTINGS = ('randomness', 'env_cfg', 'auto_scale_lr', 'visualizer')
MODEL = ('model.backbone', 'model.data_preprocessor', 'model.train_cfg', 'model.test_cfg')
EVALUATORS = ('val_evaluator', 'test_evaluator')
# places -> kinds of what may stand there, None aside, and their name
SHAPES = (
    ((*LOADERS, *DATASETS, *RUN, *SETTINGS, *MODEL), dict, 'a dict'),
    ((*EVALUATORS, 'param_scheduler', 'model.neck'), (dict, list, tuple), 'a dict, or a list'),
    (('custom_hooks',), (list, tuple), 'a list'),
)

# the configs that come with the package: inside it where it was installed, beside it in a checkout
_PACKAGE = Path(__file__).resolve().parent.parent
CONFIGS = next(filter(Path.is_dir, (_PACKAGE / 'configs', _PACKAGE.parent / 'configs')), _PACKAGE)


def find_config(config: str | os.PathLike) -> Path:
    """Find the file of a config.

    Args:
        config: A path, or the name of a config that comes with the package, without `.py`, or that
            of the published weights of one.

    Raises:
        ConfigError: There is neither; with the nearest file or name.
    """
    path = Path(config)
    if path.is_file():
        return path
    shipped = shipped_configs()
    name = CONFIG_OF.get(published_name(str(config)), str(config))
    if name in shipped:
        return CONFIGS / f'{name}.py'
    beside = [file.name for file in path.parent.glob('*.py')]
    if near := difflib.get_close_matches(path.name, beside, n=1):
        near = [str(path.parent / near[0])]
    else:
        near = difflib.get_close_matches(path.stem, shipped, n=1)
    hint = f'; did you mean {near[0]}?' if near else ''
    raise ConfigError(f'{path}: no such config file{hint}')


def shipped_configs() -> list[str]:
    """Names of the configs that come with the package, such as 'finetune/semfpn_fastvit_t8'."""
    files = [*CONFIGS.glob('*.py'), *CONFIGS.glob('[!_]*/*.py')]
    return sorted(file.relative_to(CONFIGS).with_suffix('').as_posix() for file in files)


def read_config(config: str | os.PathLike) -> Config:
    """Read a config file, or one that comes with the package by its name.

    Raises:
        ConfigError: The file is missing or broken, holds no model, or a word or number where a
            dict is read.
    """
    path = find_config(config)
    try:
        cfg = Config.fromfile(path)
    except FastViTDenseError as error:  # of what the file imports
        raise ConfigError(f'{path}: {error}') from error
    except Exception as error:  # the file is a program, which fails in any way
        raise ConfigError(f'{path}: cannot be read: {_reason(error)}{_base_hint(error)}') from error
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(f'{path}: no model in it, expected the config of a whole model')
    check_shapes(cfg)
    return cfg


def check_shapes(cfg: Config) -> None:
    """Check that a dict stands where mmengine's Runner, and this package, read one.

    Raises:
        ConfigError: Something else stands there.
    """
    for places, kinds, expected in SHAPES:
        for place in places:
            node: Any = cfg._cfg_dict
            for part in place.split('.'):
                node = node.get(part) if isinstance(node, dict) else None
            if node is not None and not isinstance(node, kinds):
                raise ConfigError(f'{cfg.filename}: {place}: expected {expected}, found {node!r}')


def _reason(error: Exception) -> str:
    """The kind of an error, its text, and the line at the level of a module that it comes from."""
    while isinstance(error, ImportError) and isinstance(error.__context__, ImportError):
        error = error.__context__  # mmengine's own lists the folders of sys.path instead
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f' ({f.filename}, line {f.lineno})' for f in frames if f.name == '<module>']
    hint = ''
    if isinstance(error, ModuleNotFoundError):
        hint = '; install it, or put its folder on PYTHONPATH'
    return f'{type(error).__name__}: {error}{lines[-1] if lines else ""}{hint}'


def _base_hint(error: Exception) -> str:
    """Name the file of the package that a `_base_` looks for beside its own."""
    parts = Path(getattr(error, 'filename', None) or '').parts
    known = (CONFIGS.joinpath(*parts[start:]) for start in range(1, len(parts)))
    found = next(filter(Path.is_file, known), None)
    return f'; _base_ is looked for beside the file; did you mean {found}?' if found else ''


def remove_pretrained(model: Any) -> None:
    """Drop every `init_cfg` of type Pretrained and every `pretrained` from a model dict."""
    for _, part in dicts_of(model):
        init = part.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            part['init_cfg'] = None
        if part.get('pretrained'):
            part['pretrained'] = None


def default_work_dir(config: str | os.PathLike) -> str:
    """`work_dirs/` and the config's name, as in mmdet and mmseg."""
    return str(Path('work_dirs') / Path(config).stem)
