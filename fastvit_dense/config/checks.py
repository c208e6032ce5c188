"""Faults in the settings of a config, as far as they can be told without building."""

import inspect
import logging
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from ..backbones.fastvit import FastViT
from ..backbones.variants import VARIANTS
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
HIGHEST_SEED = 2**32 - 1  # that numpy takes
NEEDED_BY_TRAINING = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
# segmentor of mmseg -> modes of its test_cfg
SEGMENTORS = {
    'DepthEstimator': ('whole', 'slide', 'slide_flip'),
    'EncoderDecoder': ('whole', 'slide'),
    'MultimodalEncoderDecoder': ('whole', 'slide'),
}
LAST_INPUT_FIRST = 'YOLOV3Neck'  # lists its in_channels from the coarsest map to the finest


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
    """Refuse rates with which the first step would overflow in PyTorch's own code."""
    for path, node in dicts_of(cfg.optim_wrapper, 'optim_wrapper'):
        for key, value in node.items() if path.endswith('optimizer') else ():
            if isinstance(value, int | float) and not abs(value) <= LARGEST:
                raise ConfigError(
                    f'{cfg.filename}: {path}.{key}: expected a number of at most {LARGEST:g}, '
                    f'found {value!r:.40}'
                )


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


# ------------------------------------------------------------------------------ channels


def check_channels(cfg: Config, model: nn.Module | None = None) -> None:
    """Compare `in_channels` of the neck, or the heads, with the channels of the backbone.

    FastViT's are known from its settings. Another backbone is asked once it is built, where it
    keeps the contract: `out_channels` and `out_strides`, an entry for each of its maps.

    Args:
        cfg: The config.
        model: Its model, where it is built already.

    Raises:
        ConfigError: They differ; the message names field and value.
    """
    scope = cfg.get('default_scope')
    for path, settings in dicts_of(cfg.get('model'), 'model'):
        backbone = settings.get('backbone')
        if not isinstance(backbone, dict):
            continue
        channels = _channels_of(backbone, scope) or _channels_built(model, f'{path}.backbone')
        if not channels:
            continue
        for key, reader in _readers(settings):
            _check_in_index(f'{cfg.filename}: {path}.{key}.in_index', reader, len(channels))
            expected = _expected_channels(reader, channels, scope, is_neck=key.startswith('neck'))
            found = reader.in_channels
            found = list(found) if isinstance(found, list | tuple) else found
            if expected != found:
                raise ConfigError(
                    f'{cfg.filename}: {path}.{key}.in_channels: expected {expected}, because '
                    f'{path}.backbone ({_settings_of(backbone, scope)}) gives {list(channels)}, '
                    f'found {found}'
                )


def _channels_built(model: nn.Module | None, path: str) -> tuple[int, ...] | None:
    """Channels that a backbone states once it is built; None where it does not keep the contract.

    Backbones of the model zoos may have an attribute `out_channels` that means something else.
    """
    backbone: Any = model
    for name in path.split('.')[1:]:
        backbone = getattr(backbone, name, None)
    channels, strides = (getattr(backbone, f'out_{name}', None) for name in ('channels', 'strides'))
    if not isinstance(channels, list | tuple) or not isinstance(strides, list | tuple):
        return None
    return tuple(channels) if len(channels) == len(strides) else None


def _settings_of(backbone: dict, scope: str | None) -> str:
    """The settings that the number of channels follows from, as far as a type has them."""
    cls = find_type(backbone.get('type'), backbone.get('_scope_', scope))
    parameters = {n: p for n, p in parameters_of(cls).items() if n in ('arch', 'out_indices')}
    settings = [f'{n}={backbone.get(n, p.default)!r}' for n, p in parameters.items()]
    return ', '.join(settings) or cls.__name__


def _channels_of(backbone: dict, scope: str | None) -> tuple[int, ...] | None:
    """Channels of the outputs of a FastViT; None for others, and where its settings are wrong."""
    if find_type(backbone.get('type'), backbone.get('_scope_', scope)) is not FastViT:
        return None
    parameters = inspect.signature(FastViT).parameters
    try:
        arch = VARIANTS[backbone.get('arch', parameters['arch'].default)]
        indices = backbone.get('out_indices', parameters['out_indices'].default)
        return tuple(arch.embed_dims[i] for i in indices)
    except (IndexError, KeyError, TypeError):  # told when it is built
        return None


def _readers(model: dict) -> Iterator[tuple[str, Any]]:
    """Yield (key, dict) of what reads the backbone's maps, as far as it tells `in_channels`."""
    keys = ['neck'] if model.get('neck') else [key for key in model if key.endswith('head')]
    for key in keys:
        value = model[key]
        if isinstance(value, list | tuple):
            parts = [(f'{key}.{index}', child) for index, child in enumerate(value)]
            parts = parts[:1] if key == 'neck' else parts
        else:
            parts = [(key, value)]
        for name, part in parts:
            if isinstance(part, dict) and part.get('in_channels') is not None:
                yield name, part


def _check_in_index(field: str, reader: dict, maps: int) -> None:
    index = reader.get('in_index')
    indices = index if isinstance(index, list | tuple) else [0 if index is None else index]
    if not all(type(i) is int and -maps <= i < maps for i in indices):
        raise ConfigError(f'{field}: expected numbers of the {maps} maps, found {index}')


def _expected_channels(
    reader: dict, channels: tuple[int, ...], scope: str | None, is_neck: bool
) -> int | list[int]:
    """Value that `in_channels` must have: one number for the last map, or one for every map.

    `in_index` of mmseg's heads picks maps. Which of the two forms a type takes is told by its
    annotation, or by what is there.
    """
    index = reader.get('in_index')
    if index is not None:
        return channels[index] if isinstance(index, int) else [channels[i] for i in index]
    cls = find_type(reader.get('type'), reader.get('_scope_', scope))
    parameter = parameters_of(cls).get('in_channels') if cls is not None else None
    annotation = str(parameter.annotation) if parameter else ''
    takes_list = re.search('list|sequence|tuple', annotation, re.IGNORECASE)
    takes_number = parameter is not None and parameter.annotation in (int, 'int')
    is_list = isinstance(reader['in_channels'], list | tuple)
    if takes_number or not (takes_list or is_list or (is_neck and len(channels) > 1)):
        return channels[-1]
    if str(reader.get('type')).endswith(LAST_INPUT_FIRST):
        return list(channels[::-1])
    return list(channels)


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
