"""What is wrong with the settings of a config, as far as it can be told without building."""

import inspect
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..backbones.fastvit import FastViT
from ..backbones.variants import VARIANTS
from ..checkpoints.published import PUBLISHED
from ..errors import CheckpointError, ConfigError
from .building import typed_dicts, unexpected_argument, word_for_number
from .loaders import LOADERS
from .options import READ_OF_LOADER
from .types import find_type, parameters_of

# smallest values of whole numbers
LOADER_NUMBERS = {'batch_size': 1, 'num_workers': 0}
LOOP_NUMBERS = {'max_epochs': 1, 'max_iters': 1, 'val_begin': 0, 'val_interval': 1}
# whose types keep what they are given, and fail with it long after they are built
TRAINING = ('optim_wrapper', 'param_scheduler', 'default_hooks', 'custom_hooks', 'log_processor')
LAST_INPUT_FIRST = 'YOLOV3Neck'  # lists its in_channels from the coarsest map to the finest


def check_settings(cfg: Config, loaders: Collection[str] = LOADERS) -> None:
    """Check the dataloaders, and numbers of training.

    Raises:
        ConfigError: A key that a dataloader does not take, a number that is too small, or a value
            that is no number.
    """
    from torch.utils.data import DataLoader

    training = 'train_dataloader' in loaders
    for place in ('train_dataloader', 'train_cfg', 'optim_wrapper') if training else ():
        if not isinstance(cfg.get(place), dict):
            raise ConfigError(
                f'{cfg.filename}: {place}: expected a dict, which training needs, found '
                f'{cfg.get(place)!r}'
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
    _check_whole_numbers(cfg, 'train_cfg', LOOP_NUMBERS)
    for place in TRAINING:
        for path, node, cls in typed_dicts(cfg.get(place), cfg.get('default_scope'), place):
            if reason := word_for_number(path, node, cls):
                raise ConfigError(f'{cfg.filename}: {reason}')


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


# ------------------------------------------------------------------------------ channels


def check_channels(cfg: Config) -> None:
    """Compare `in_channels` of the neck, or the heads, behind a FastViT with its channels.

    Raises:
        ConfigError: They differ; the message names field and value.
    """
    scope = cfg.get('default_scope')
    for path, model in _dicts(cfg.get('model'), 'model'):
        backbone = model.get('backbone')
        channels = _channels_of(backbone, scope) if isinstance(backbone, dict) else None
        if not channels:
            continue
        for key, reader in _readers(model):
            _check_in_index(f'{cfg.filename}: {path}.{key}.in_index', reader, len(channels))
            expected = _expected_channels(reader, channels, scope, is_neck=key.startswith('neck'))
            found = reader.in_channels
            found = list(found) if isinstance(found, list | tuple) else found
            if expected != found:
                raise ConfigError(
                    f'{cfg.filename}: {path}.{key}.in_channels: expected {expected}, because '
                    f'{path}.backbone ({_settings_of(backbone)}) gives {list(channels)}, '
                    f'found {found}'
                )


def _settings_of(backbone: dict) -> str:
    parameters = inspect.signature(FastViT).parameters
    names = ('arch', 'out_indices')
    return ', '.join(f'{name}={backbone.get(name, parameters[name].default)!r}' for name in names)


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
    """What `in_channels` must be: one number for the last map, or one for every map.

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
        CheckpointError: There is no such file.
    """
    for path, node in _dicts(cfg.get('model'), 'model'):
        if node.get('type') != 'Pretrained' or not isinstance(node.get('checkpoint'), str):
            continue
        name = node['checkpoint']
        if '://' in name or name in PUBLISHED or Path(name).expanduser().is_file():
            continue
        raise CheckpointError(
            f'{name}: there is no such file; {path}.checkpoint names it. Expected a file, an '
            "address, or a published name such as 'apple/fastvit_sa24'"
        )


def _dicts(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (path, dict) of a config's node and all below it."""
    if isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from _dicts(child, f'{path}.{index}')
    elif isinstance(node, dict):
        yield path, node
        for key, child in node.items():
            yield from _dicts(child, f'{path}.{key}')
