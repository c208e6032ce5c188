"""Reading a config file."""

import difflib
import os
import traceback
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError


def read_config(path: str | os.PathLike) -> Config:
    """Read a config file.

    Raises:
        ConfigError: The file is missing or broken, or holds no model.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f'{path}: no such config file{_similar_files(path)}')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # the file is a program, which fails in any way
        raise ConfigError(f'{path}: cannot be read: {_reason(error)}') from error
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(f'{path}: no model in it, expected the config of a whole model')
    return cfg


def _reason(error: Exception) -> str:
    """The kind of an error, its text, and the line at the level of a module that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f' ({f.filename}, line {f.lineno})' for f in frames if f.name == '<module>']
    return f'{type(error).__name__}: {error}{lines[-1] if lines else ""}'


def _similar_files(path: Path) -> str:
    names = [p.name for p in path.parent.glob('*.py')] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f'; did you mean {path.parent / close[0]}?' if close else ''


def remove_pretrained(model: Any) -> None:
    """Drop every `init_cfg` of type Pretrained and every `pretrained` from a model dict."""
    if isinstance(model, list | tuple):
        for child in model:
            remove_pretrained(child)
    elif isinstance(model, dict):
        init = model.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            model['init_cfg'] = None
        if model.get('pretrained'):
            model['pretrained'] = None
        for child in model.values():
            remove_pretrained(child)


def default_work_dir(config: str | os.PathLike) -> str:
    """`work_dirs/` and the config's name, as in mmdet and mmseg."""
    return str(Path('work_dirs') / Path(config).stem)
