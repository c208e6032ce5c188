"""Channels that a neck or the heads expect, beside those that the backbone gives."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from torch import nn

from ..backbones.fastvit import FastViT
from ..backbones.variants import VARIANTS
from ..errors import ConfigError
from .types import find_type, parameters_of
from .walk import dicts_of

LAST_INPUT_FIRST = 'YOLOV3Neck'  # lists its in_channels from the coarsest map to the finest


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
