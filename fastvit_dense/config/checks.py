"""Faults in the settings of a config, as far as they can be told without building."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoints.published import PUBLISHED, published_name
from ..checkpoints.shards import find_in_folder
from ..errors import CheckpointError, ConfigError
from .known import READ_OF_LOADER
from .loaders import LOADERS
from .types import base_names, find_type, parameters_of, unexpected_argument, word_for_number
from .walk import dicts_of

# smallest values of whole numbers
LOADER_NUMBERS = {'batch_size': 1, 'num_workers': 0}
LOOP_NUMBERS = {'max_epochs': 1, 'max_iters': 1, 'val_begin': 0, 'val_interval': 1}
# whose types keep what they are given, and fail with it long after they are built
TRAINING = ('optim_wrapper', 'param_scheduler', 'default_hooks', 'custom_hooks', 'log_processor')
LARGEST = 1e30  # of an optimizer's numbers; steps are in float32, which ends at 3e38
LIMITS_OF_GRADIENTS = ('max_norm', 'clip_value')
HIGHEST_SEED = 2**32 - 1  # that numpy takes
# of mmengine's runner, which takes any text for true -> type, in words
OF_RUNNER = {'resume': (bool, 'True, False'), 'load_from': (str, 'a path')}
NEEDED_BY_TRAINING = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
# segmentor of mmseg -> modes of its test_cfg
SEGMENTORS = {
    'DepthEstimator': ('whole', 'slide', 'slide_flip'),
    'EncoderDecoder': ('whole', 'slide'),
    'MultimodalEncoderDecoder': ('whole', 'slide'),
}


def check_settings(cfg: Config, loaders: Collection[str] = LOADERS) -> None:
    """Check the dataloaders, and numbers of training.

    Raises:
        ConfigError: A key that a dataloader does not take, a number that is too small, or a value
            that is no number.
    """
    from torch.utils.data import DataLoader

    _check_words(cfg)
    training = 'train_dataloader' in loaders
    for place in NEEDED_BY_TRAINING if training else ():
        if not isinstance(cfg.get(place), dict):
            raise ConfigError(
                f'{cfg.filename}: {place}: expected a dict, which training needs, found '
                f'{cfg.get(place)!r}'
            )
    for place, (kind, name) in OF_RUNNER.items():
        if not isinstance(cfg.get(place), kind | None):
            raise ConfigError(
                f'{cfg.filename}: {place}: expected {name} or None, found {cfg[place]!r}'
            )
    for place in ('env_cfg', 'randomness'):  # which the runner opens, whatever stands there
        if not isinstance(cfg.get(place, {}), dict):
            raise ConfigError(
                f'{cfg.filename}: {place}: expected a dict, found {cfg[place]!r}; leave it out for '
                "mmengine's own"
            )
    known = {*parameters_of(DataLoader), *READ_OF_LOADER}
    for loader in loaders:
        settings = cfg.get(loader) or {}
        for key in settings:
            if key not in known:
                raise ConfigError(f'{cfg.filename}: {unexpected_argument(DataLoader, key, loader)}')
        _check_whole_numbers(cfg, loader, LOADER_NUMBERS)
        for path, node in dicts_of(settings, loader):
            if node.get('indices') in (0, [], ()):
                raise ConfigError(
                    f'{cfg.filename}: {path}.indices: expected a number of samples from 1 on, or '
                    f'their places, found {node["indices"]!r}'
                )
        if settings.get('num_workers') == 0 and settings.get('persistent_workers'):
            raise ConfigError(
                f'{cfg.filename}: {loader}.persistent_workers: expected False where num_workers '
                'is 0, found True'
            )
    if not training:
        return
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None and type(seed) is not int:
        raise ConfigError(
            f'{cfg.filename}: randomness.seed: expected a whole number or None, found {seed!r}'
        )
    if seed is not None and not 0 <= seed <= HIGHEST_SEED:
        raise ConfigError(
            f'{cfg.filename}: randomness.seed: expected 0 to {HIGHEST_SEED}, found {seed}'
        )
    _check_whole_numbers(cfg, 'train_cfg', LOOP_NUMBERS)
    _check_optimizer(cfg)
    _check_preprocessor(cfg)
    for place in TRAINING:
        for path, node in dicts_of(cfg.get(place), place):
            cls = find_type(node.get('type'), node.get('_scope_', cfg.get('default_scope')))
            if cls is not None and (reason := word_for_number(path, node, cls)):
                raise ConfigError(f'{cfg.filename}: {reason}')


def _check_words(cfg: Config) -> None:
    scope, level = cfg.get('default_scope'), cfg.get('log_level', 'INFO')
    if scope is not None and not isinstance(scope, str):
        raise ConfigError(
            f"{cfg.filename}: default_scope: expected a word such as 'mmdet', found {scope!r}"
        )
    known = logging.getLevelNamesMapping()
    if level not in known and level not in known.values():
        raise ConfigError(
            f'{cfg.filename}: log_level: expected one of {", ".join(known)}, found {level!r}'
        )


def _check_optimizer(cfg: Config) -> None:
    """Refuse rates with which the first step would overflow in PyTorch's own code.

    And limits of gradients that would make all of them 0, or turn them round.
    """
    for path, node in dicts_of(cfg.optim_wrapper, 'optim_wrapper'):
        place, last = f'{cfg.filename}: {path}', path.rpartition('.')[2]
        for key, value in node.items() if last == 'optimizer' else ():
            if isinstance(value, int | float) and not abs(value) <= LARGEST:
                raise ConfigError(
                    f'{place}.{key}: expected a number of at most {LARGEST:g}, found {value!r:.40}'
                )
        for key in LIMITS_OF_GRADIENTS if last == 'clip_grad' else ():
            value = node.get(key, 1)
            if not isinstance(value, int | float) or not value > 0:
                raise ConfigError(f'{place}.{key}: expected a number above 0, found {value!r:.40}')


def _check_preprocessor(cfg: Config) -> None:
    """Refuse sizes that are none, and deviations by which nothing can be divided."""
    model = cfg.get('model')
    settings = model.get('data_preprocessor') if isinstance(model, dict) else None
    if not isinstance(settings, dict):
        return
    place, size = f'{cfg.filename}: model.data_preprocessor', settings.get('size')
    pair = isinstance(size, list | tuple) and len(size) == 2
    if size is not None and not (pair and all(type(n) is int and n > 0 for n in size)):
        raise ConfigError(f'{place}.size: expected (height, width) in pixels, found {size!r}')
    std = settings.get('std') or ()
    numbers = std if isinstance(std, list | tuple) else (std,)
    if not all(isinstance(n, int | float) and 0 < abs(n) <= LARGEST for n in numbers):
        raise ConfigError(f'{place}.std: expected numbers other than 0, found {std!r}')


def _check_whole_numbers(cfg: Config, place: str, smallest: dict[str, int]) -> None:
    settings = cfg.get(place) or {}
    for key, least in smallest.items():
        value = settings.get(key)
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if value is not None and not (whole and value >= least):
            raise ConfigError(
                f'{cfg.filename}: {place}.{key}: expected a whole number of at least {least}, '
                f'found {value!r}'
            )


# -------------------------------------------------------------------- windows of segmentors


def check_test_cfg(cfg: Config) -> None:
    """Check how segmentors of mmseg go over a picture: `mode`, `crop_size`, `stride` of test_cfg.

    Raises:
        ConfigError: They do not work together; mmseg would fail at the first picture.
    """
    for path, model in dicts_of(cfg.get('model'), 'model'):
        cls = find_type(model.get('type'), model.get('_scope_', cfg.get('default_scope')))
        modes = next((SEGMENTORS[name] for name in base_names(cls) if name in SEGMENTORS), None)
        if modes:
            place = f'{path}.test_cfg'
            problem = _window_problem(model.get('test_cfg'), modes)
            if problem:
                raise ConfigError(f'{cfg.filename}: {place}{problem}')


def _window_problem(test_cfg: Any, modes: tuple[str, ...]) -> str | None:
    """Name the fault of a `test_cfg`, as '.field: expected ..., found ...'; None: there is none."""
    if not isinstance(test_cfg, dict):
        return f": expected a dict such as dict(mode='whole'), found {test_cfg!r}"
    mode = test_cfg.get('mode')
    if mode not in modes:
        return f'.mode: expected one of {", ".join(map(repr, modes))}, found {mode!r}'
    if mode == 'whole':
        return None
    for key in ('crop_size', 'stride'):
        size = test_cfg.get(key)
        sides = size if isinstance(size, list | tuple) else ()
        if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
            return f'.{key}: expected (height, width) in pixels for mode {mode!r}, found {size!r}'
    crop, stride = test_cfg['crop_size'], test_cfg['stride']
    if stride[0] > crop[0] or stride[1] > crop[1]:
        return (
            f'.stride: expected at most crop_size, {tuple(crop)}, else pixels are left out, '
            f'found {tuple(stride)}'
        )
    return None


# ----------------------------------------------------------------------- pretrained files


def check_pretrained(cfg: Config) -> None:
    """Look for the local files of every `init_cfg` of type Pretrained; nothing is downloaded.

    Raises:
        CheckpointError: There is no such file, or no checkpoint in the folder.
    """
    for path, node in dicts_of(cfg.get('model'), 'model'):
        if node.get('type') != 'Pretrained' or not isinstance(node.get('checkpoint'), str):
            continue
        name = node['checkpoint']
        if '://' in name or published_name(name) in PUBLISHED:
            continue
        file = Path(name).expanduser()
        if file.is_dir():
            find_in_folder(file)
        if file.exists():
            continue
        raise CheckpointError(
            f'{name}: there is no such file; {path}.checkpoint names it. Expected a file, an '
            "address, or a published name such as 'apple/fastvit_sa24'"
        )
