"""Configs ready to build from: the file, the settings of the sample data, the options."""

import copy
import os
from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import FUNCTIONS
from mmengine.utils import import_modules_from_strings

from ..checkpoints.published import OF_CONFIG
from ..config.classes import spread_classes
from ..config.following import follow_val, settings_before
from ..config.options import merge_options
from ..config.reading import (
    CONFIGS,
    default_work_dir,
    find_config,
    read_config,
    remove_pretrained,
)
from ..config.stored import is_checkpoint, is_exported, read_checkpoint_config
from ..errors import ConfigError, reason_of
from .own_data import apply_own_data
from .sample import apply_sample_settings


def load_config(
    path: str | os.PathLike,
    *,
    sample: bool = False,
    data: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
    cfg_options: Iterable[str] | dict[str, Any] | None = None,
    pretrained: bool = True,
    work_dir: str | os.PathLike | None = None,
) -> Config:
    """Read a config file and make it ready to build from.

    Where the file, or the options, set data of the validation and none of the test, the test
    follows (`follow_val`); so do the classes, from the training dataset (`spread_classes`).

    A checkpoint that training wrote carries its config, an exported file the part of it that
    predicting needs; they are read as data, see `config/stored.py`.

    Args:
        path: The config file, the name of a shipped one, a checkpoint, or an exported file.
        sample: Apply the settings of the embedded sample data (`tasks/sample.py`).
        data: A folder of annotated pictures to use instead (`tasks/own_data.py`).
        classes: Of a model that is to be tested on that folder; by default the folder's.
        cfg_options: `key=value` strings, or a dict, applied last.
        pretrained: False where a checkpoint follows: no pretrained file is looked for.
        work_dir: Where results go; by default the config's, or `work_dirs/CONFIG`.

    Raises:
        ConfigError: The file is missing or broken, or an option names an unknown key.
        CheckpointError: The checkpoint cannot be read, or carries no config.
    """
    if sample and (data or stands_alone(path)):
        other = '--data' if data else path
        raise ConfigError(f'--sample and {other} both name the data: give one of them')
    if stands_alone(path):
        read = FUNCTIONS.get('exported_config') if is_exported(path) else read_checkpoint_config
        cfg = read(path)
    else:
        cfg = read_config(path)
        before = settings_before(find_config(path))
        if before is not None:
            follow_val(cfg, before)
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or default_work_dir(cfg.filename))
    if sample:
        apply_sample_settings(cfg)
    if data:
        apply_own_data(cfg, os.fspath(data), classes)
    if cfg_options:
        before = copy.deepcopy(cfg)
        merge_options(cfg, cfg_options)
        follow_val(cfg, before)
        _import_modules(cfg)
    spread_classes(cfg)
    if sample or not pretrained:
        remove_pretrained(cfg.model)
    cfg.work_dir = str(work_dir or cfg.work_dir)
    return cfg


def stands_alone(path: str | os.PathLike) -> bool:
    """Tell whether a name is that of a file which holds config and weights."""
    return is_checkpoint(path) or is_exported(path)


def own_weights(path: str | os.PathLike) -> str:
    """Return the weights of a model that is named alone: that file, or the published ones.

    Raises:
        ConfigError: It is a config that has none.
    """
    weights = str(path) if stands_alone(path) else published_weights(path)
    if weights is None:
        raise ConfigError(f'{path}: expected a checkpoint after it, or a checkpoint in its place')
    return weights


def published_weights(config: str | os.PathLike) -> str | None:
    """Name the published weights of a shipped config; None where there are none."""
    try:
        path = find_config(config)
    except ConfigError:  # reading it will tell
        return None
    return OF_CONFIG.get(path.stem) if path.parent.resolve() == CONFIGS.resolve() else None


def _import_modules(cfg: Config) -> None:
    """Import what `custom_imports` names now; what the file named is imported already."""
    imports = cfg.get('custom_imports')
    if not imports:
        return
    try:
        import_modules_from_strings(**imports)
    except (ImportError, TypeError) as error:
        raise ConfigError(f'{cfg.filename}: custom_imports: {reason_of(error)}') from error
