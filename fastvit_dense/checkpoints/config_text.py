"""Configs as texts of literals: read without being run.

`Config.pretty_text`, which mmengine writes into checkpoints, assigns literals and calls of `dict`.
Whatever else stands in such a text makes it no config of this kind.
"""

import ast
from collections.abc import Mapping
from typing import Any

from ..limits import CONFIG_TEXT_BYTES

NUMBERS = {'inf': float('inf'), 'nan': float('nan')}  # as `repr` writes them
SIGNS = {ast.USub: lambda number: -number, ast.UAdd: lambda number: number}


def parse_config_text(text: Any, names: Mapping[str, Any] = NUMBERS) -> dict[str, Any]:
    """Return what a text assigns, by name; nothing of it is run.

    Args:
        text: Lines such as `model = dict(type='MaskRCNN', scale=(1333, 800))`.
        names: What else may stand for a value, by name.

    Raises:
        ValueError: It is no text of that kind; the message says what it holds.
    """
    if not isinstance(text, str):
        raise ValueError(f'expected a text, found {type(text).__name__}')
    if len(text) > CONFIG_TEXT_BYTES:
        raise ValueError(f'expected at most {CONFIG_TEXT_BYTES:,} characters, found {len(text):,}')
    found: dict[str, Any] = {}
    try:
        for statement in ast.parse(text).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if len(targets) != 1 or not isinstance(targets[0], ast.Name):
                raise ValueError(f'line {statement.lineno} is more than data')
            found[targets[0].id] = _value(statement.value, names)  # type: ignore[attr-defined]
    except (SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f'it cannot be read ({type(error).__name__})') from None
    return found


def _value(node: ast.AST, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.List(elts=items):
            return [_value(item, names) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item, names) for item in items)
        case ast.Set(elts=items):
            return {_value(item, names) for item in items}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {
                _value(key, names): _value(value, names)  # type: ignore[arg-type]
                for key, value in zip(keys, values, strict=True)
            }
        case ast.Call(func=ast.Name(id='dict'), args=[ast.Dict() as inside], keywords=[]):
            return _value(inside, names)
        case ast.Call(func=ast.Name(id='dict'), args=[], keywords=keywords):
            if all(keyword.arg for keyword in keywords):
                return {keyword.arg: _value(keyword.value, names) for keyword in keywords}
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in SIGNS:
            number = _value(operand, names)
            if isinstance(number, int | float):
                return SIGNS[type(sign)](number)
    raise ValueError(f'line {getattr(node, "lineno", 0)} is more than data')
