"""Options of the command line: `key=value`, refused where nothing would read the key."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError
from .known import ABSENT, alternatives, class_of, known_keys
from .types import find_type, names_dict, names_kind, no_such_type, parameters_of
from .values import parse_value

# keys whose values are names: of classes '2' may be one, of MobileViT's variants '1.0' is
NAMES = ('metainfo.classes', 'backbone.arch')
DICT_IN_VALUE = re.compile(r'(^|[\[(,]) *(\{|dict\()')


def parse_options(options: Iterable[str]) -> dict[str, Any]:
    """Turn `key=value` strings into a dict, by `parse_value`; names (`NAMES`) stay words.

    Raises:
        ConfigError: No `key=value`, or a value that cannot be read: a dict, open brackets.
    """
    parsed = {}
    for option in options:
        key, equals, value = option.partition('=')
        if not equals or not key:
            raise ConfigError(f'--cfg-options {option}: expected KEY=VALUE')
        if DICT_IN_VALUE.search(value.strip('\'"')):
            raise ConfigError(
                f'--cfg-options {key}: expected one option for each key of a dict, such as '
                f'{key}.KEY=VALUE, found {value!r}'
            )
        try:
            parsed[key] = parse_value(value, words=key.endswith(NAMES))
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f'--cfg-options {key}: expected a number, a word, True, False, None, or a list '
                f'such as [1,2] or (1,2), found {value!r}'
            ) from error
    return parsed


@dataclass
class _Holder:
    """The dict or list that holds, or would hold, the last part of a key.

    Attributes:
        node: The dict or list; `ABSENT` where it does not stand in the config yet.
        cls: The class or function that takes it, where that is known.
        around: That of the dict around it.
    """

    node: Any
    cls: Any = None
    around: Any = None


def merge_options(cfg: Config, options: Iterable[str] | dict[str, Any]) -> None:
    """Apply options to a config, refusing keys that nothing would read.

    Known is a key that stands in the config, an argument of mmengine's Runner, a parameter of the
    type named in the dict that would hold it, or one that the tables of `config/known.py` list.
    `X._delete_=True` empties the dict X first, its type aside.

    Raises:
        ConfigError: An unknown key; the message names the nearest known one. Or a single value
            where a dict is expected, or the other way round.
    """
    options = options if isinstance(options, dict) else parse_options(options)
    # what is emptied first, then types: other options may be parameters of a new type
    order = {'_delete_': 0, 'type': 1}
    for key in sorted(options, key=lambda key: order.get(key.rpartition('.')[2], 2)):
        value = options[key]
        holder = _holder_of(cfg, key)
        if key.endswith('._delete_'):
            _empty(holder.node, key, value)
            continue
        if key.endswith('.type'):
            _check_type(cfg, holder.node, key, value)
        _check_kind(holder, key, value)
        if value:
            for other in alternatives(holder.around, key):
                holder.node.pop(other, None)
        try:
            cfg.merge_from_dict({key: value})
        except (KeyError, TypeError) as error:  # a dict where a single value stands
            raise ConfigError(f'--cfg-options {key}: {error.args[0]}') from error


def _holder_of(cfg: Config, key: str) -> _Holder:
    """Go down a key to what holds its last part; a part that nothing would read is an error."""
    parts = key.split('.')
    holder = _Holder(cfg._cfg_dict)
    for depth, part in enumerate(parts):
        path, node = '.'.join(parts[:depth]), holder.node
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f'--cfg-options {key}: {path} is a list of {len(node)} '
                    f'entries, expected an index below that, found {part!r}'
                )
            child, around = node[int(part)], holder.around
        elif isinstance(node, dict):
            holder.cls = class_of(path, node, cfg.get('default_scope'))
            if not (node and depth and parts[depth:] == ['_delete_']):
                _check_known(holder, key, path, part)
            child, around = node.get(part, ABSENT), holder.cls
        else:
            raise ConfigError(f'--cfg-options {key}: {path} is {node!r}, it has no field {part!r}')
        if depth + 1 < len(parts):
            holder = _Holder(child, around=around)
    return holder


def _check_known(holder: _Holder, key: str, path: str, part: str) -> None:
    known = known_keys(path, holder.node, holder.cls, holder.around)
    if known is None or part in known:
        return
    close = difflib.get_close_matches(part, sorted(map(str, known)), n=1, cutoff=0.0)
    nearest = f'{path}.{close[0]}'.strip('.') if close else 'none'
    kind = holder.node.get('type')
    raise ConfigError(
        f'--cfg-options {key}: unknown key {part!r}{f" of {kind}" if kind else ""}; '
        f'the nearest known one is {nearest}'
    )


def _check_kind(holder: _Holder, key: str, value: Any) -> None:
    """Refuse a single value, or a list of such, where a dict or dicts are expected."""
    dicts = isinstance(value, dict) or (isinstance(value, list | tuple) and _holds_dicts(value))
    if value is None or dicts:
        return
    last = key.rpartition('.')[2]
    parameter = parameters_of(holder.cls).get(last) if holder.cls is not None else None
    node = holder.node
    before = node.get(last) if isinstance(node, dict) else node[int(last)]
    if isinstance(before, dict):
        expected = 'a dict'
    elif isinstance(before, list | tuple) and _holds_dicts(before):
        expected = 'a list of dicts'
        if isinstance(value, list | tuple) and not value:
            return
    elif before is None and parameter is not None and names_dict(parameter):
        expected = 'a dict'
    else:
        return
    entries = expected != 'a dict' and isinstance(value, list | tuple)  # of which none is a dict
    if parameter is not None and names_kind(parameter, value) and not entries:
        return
    hint = ''
    if isinstance(before, dict) and isinstance(value, str) and 'type' in before:
        hint = f'; {key}.type={value} sets its type'
    raise ConfigError(f'--cfg-options {key}: expected {expected}, found {value!r}{hint}')


def _holds_dicts(values: list | tuple) -> bool:
    return any(isinstance(value, dict) for value in values)


def _empty(node: Any, key: str, value: Any) -> None:
    if value is not True:
        raise ConfigError(f'--cfg-options {key}: expected True, found {value!r}')
    for name in node.keys() - {'type', '_scope_'}:
        del node[name]


def _check_type(cfg: Config, node: dict, key: str, value: Any) -> None:
    """Refuse a type that no registry knows where the one before it stands in a registry."""
    scope = node.get('_scope_', cfg.get('default_scope'))
    before = node.get('type')
    if not isinstance(value, str) or find_type(value, scope) or not find_type(before, scope):
        return
    raise ConfigError(f'--cfg-options {key}={value}: {no_such_type(value, scope)}')
