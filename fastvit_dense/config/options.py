"""Options of the command line: `key=value`, refused where nothing would read the key."""

import difflib
from collections.abc import Iterable
from typing import Any

from mmengine.config import Config, DictAction

from ..errors import ConfigError
from .loaders import LOADERS
from .types import find_type, no_such_type, parameters_of

# Top-level keys that mmengine's Runner reads from the config without taking them as arguments.
READ_BY_RUNNER = {'auto_scale_lr', 'find_unused_parameters', 'model_wrapper_cfg', 'compile'}
# What its `build_optim_wrapper` and `build_dataloader` read beside the parameters of the classes.
READ_OF_OPTIM_WRAPPER = {'constructor', 'paramwise_cfg'}
READ_OF_LOADER = {'num_batch_per_epoch', 'disable_subprocess_warning'}


def parse_options(options: Iterable[str]) -> dict[str, Any]:
    """Turn `key=value` strings into a dict, values read as mmengine's `DictAction` reads them."""
    parsed = {}
    for option in options:
        key, equals, value = option.partition('=')
        if not equals or not key:
            raise ConfigError(f'--cfg-options {option}: expected KEY=VALUE')
        parsed[key] = DictAction._parse_iterable(value)
    return parsed


def merge_options(cfg: Config, options: Iterable[str] | dict[str, Any]) -> None:
    """Apply options to a config, refusing keys that nothing would read.

    Known is a key that stands in the config, an argument of mmengine's Runner, or a parameter
    of the type named in the dict that would hold it. `X._delete_=True` empties the dict X first,
    its type aside.

    Raises:
        ConfigError: An unknown key; the message names the nearest known one.
    """
    options = options if isinstance(options, dict) else parse_options(options)
    # what is emptied first, then types: other options may be parameters of a new type
    order = {'_delete_': 0, 'type': 1}
    for key in sorted(options, key=lambda key: order.get(key.rpartition('.')[2], 2)):
        _check_key(cfg, key)
        if key.endswith('._delete_'):
            _empty(cfg, key, options[key])
            continue
        if key.endswith('.type'):
            _check_type(cfg, key, options[key])
        cfg.merge_from_dict({key: options[key]})


def _empty(cfg: Config, key: str, value: Any) -> None:
    if value is not True:
        raise ConfigError(f'--cfg-options {key}: expected True, found {value!r}')
    node = _holder(cfg, key)
    for name in node.keys() - {'type', '_scope_'}:
        del node[name]


def _holder(cfg: Config, key: str) -> Any:
    """The dict or list that holds, or would hold, the last part of a key."""
    node: Any = cfg._cfg_dict
    for part in key.split('.')[:-1]:
        node = node[int(part)] if isinstance(node, list | tuple) else node.get(part, {})
    return node


def _check_key(cfg: Config, key: str) -> None:
    node: Any = cfg._cfg_dict
    parts = key.split('.')
    for depth, part in enumerate(parts):
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f'--cfg-options {key}: {".".join(parts[:depth])} is a list of {len(node)} '
                    f'entries, expected an index below that, found {part!r}'
                )
            node = node[int(part)]
        elif isinstance(node, dict):
            if part not in node:
                _check_new_key(cfg, node, parts, depth)
                return
            node = node[part]
        else:
            raise ConfigError(
                f'--cfg-options {key}: {".".join(parts[:depth])} is {node!r}, '
                f'it has no field {part!r}'
            )


def _check_new_key(cfg: Config, node: dict, parts: list[str], depth: int) -> None:
    known = set(node)
    if depth == 0:
        from mmengine.runner import Runner

        known |= set(parameters_of(Runner)) | READ_BY_RUNNER
    elif depth == 1 and parts[0] in LOADERS:
        from torch.utils.data import DataLoader

        known |= set(parameters_of(DataLoader)) | READ_OF_LOADER
    elif depth == 1 and parts[0] == 'optim_wrapper':
        known |= READ_OF_OPTIM_WRAPPER
    cls = find_type(node.get('type'), node.get('_scope_', cfg.get('default_scope')))
    if cls is not None:
        known |= set(parameters_of(cls))
    if parts[depth] in known or (depth and parts[depth:] == ['_delete_']):
        return
    close = difflib.get_close_matches(parts[depth], sorted(map(str, known)), n=1, cutoff=0.0)
    nearest = '.'.join([*parts[:depth], close[0]]) if close else 'none'
    where = f' of {node["type"]}' if node.get('type') else ''
    raise ConfigError(
        f'--cfg-options {".".join(parts)}: unknown key {parts[depth]!r}{where}; '
        f'the nearest known one is {nearest}'
    )


def _check_type(cfg: Config, key: str, value: Any) -> None:
    """Refuse a type that no registry knows where the one before it stands in a registry."""
    node = _holder(cfg, key)
    scope = node.get('_scope_', cfg.get('default_scope'))
    before = node.get('type')
    if not isinstance(value, str) or find_type(value, scope) or not find_type(before, scope):
        return
    raise ConfigError(f'--cfg-options {key}={value}: {no_such_type(value, scope)}')
