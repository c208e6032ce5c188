"""Building what a config names; what its classes refuse is told in one line."""

import contextlib
import copy
import difflib
import inspect
import itertools
import linecache
import logging
import re
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import MMLogger, print_log
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ConfigError
from .loaders import LOADERS, datasets_of
from .types import find_type, no_such_type, parameters_of

UNKNOWN_TYPE = re.compile(r'(\S+) is not in the \S+ registry')
UNEXPECTED = re.compile(r"(\S+)\(\) got an unexpected keyword argument '(\w+)'")
MISSING = re.compile(r'(\S+)\(\) missing \d+ required (?:positional|keyword-only) arguments?: (.+)')


def try_building(cfg: Config) -> nn.Module | None:
    """Build model, optimizer and pipelines of a config once, before any data is read.

    Args:
        cfg: A config from `load_config`; it is not changed.

    Returns:
        The model, its weights not initialised; None where it cannot be built for a reason that is
        not the config's: building it again, for training, will tell.

    Raises:
        ConfigError: A type is unknown, or refuses its arguments.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    model = None
    with quiet_log(), DefaultScope.overwrite_default_scope(scope):
        with _trial(cfg):
            model = MODELS.build(copy.deepcopy(cfg.model))
        for dataset in datasets_of(cfg, ('train_dataloader', 'val_dataloader')):
            with _trial(cfg):
                Compose(copy.deepcopy(dataset.get('pipeline') or []))
        if cfg.get('optim_wrapper'):
            with _trial(cfg):
                build_optim_wrapper(model or nn.Linear(1, 1), cfg.optim_wrapper)
    return model


@contextlib.contextmanager
def _trial(cfg: Config) -> Iterator[None]:
    """Raise what is wrong with the config; other errors are left to the true building."""
    try:
        with explained_building(cfg):
            yield
    except ConfigError:
        raise
    except Exception as error:
        print_log(f'not built: {error}', 'current', logging.DEBUG)


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Keep mmengine's log to warnings: it tells of each tensor that it initialises."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def explained_building(cfg: Config) -> Iterator[None]:
    """Turn errors of types that a config names into a ConfigError with the place in the config.

    That concerns types that no registry knows, and arguments that a type does not take, lacks or
    refuses in its constructor. Other errors stay as they are.
    """
    try:
        yield
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        if type(error).__module__.startswith('fastvit_dense'):  # it says what is wrong
            raise
        reason = explain_refusal(error, cfg)
        if reason is None:
            raise
        raise ConfigError(f'{cfg.filename or "config"}: {reason}') from error


def explain_refusal(error: Exception, cfg: Config) -> str | None:
    """What of a config made building fail with this error; None: none of it as far as is known."""
    text = str(error.args[0]) if error.args else ''
    if found := UNKNOWN_TYPE.match(text):
        return no_such_type(found[1], cfg.get('default_scope'))
    if found := UNEXPECTED.search(text):
        return _unexpected_argument(cfg, _class_name(found[1]), found[2])
    if found := MISSING.search(text):
        return _missing_arguments(cfg, _class_name(found[1]), re.findall(r"'(\w+)'", found[2]))
    return None if isinstance(error, KeyError) else _refused_argument(cfg, error)


def unexpected_argument(cls: Any, name: str, path: str = '') -> str:
    """Tell that a type does not take an argument, with the nearest one that it takes."""
    known = sorted(parameters_of(cls))
    close = difflib.get_close_matches(name, known, n=1)
    kind, key = cls.__name__, path.rpartition('.')[2]
    if close:
        hint = f'the nearest known one is {close[0]!r}'
    else:
        hint = f'known are {", ".join(known)}'
        if key and not key.isdigit():
            hint += (
                f'. Left from another type? Write {key}=dict(_delete_=True, type={kind!r}, ...), '
                f'or --cfg-options {path}._delete_=True'
            )
    return f'{path and f"{path}.{name}: "}{kind} takes no argument {name!r}; {hint}'


def _class_name(function: str) -> str:
    """'SGD' of 'SGD.__init__', 'collate' of 'collate'."""
    return function.removesuffix('.__init__').rpartition('.')[2]


def _unexpected_argument(cfg: Config, name: str, argument: str) -> str | None:
    for path, node, cls in typed_dicts(cfg._cfg_dict, cfg.get('default_scope')):
        if argument in node and name in _names(cls) and argument not in parameters_of(cls):
            return unexpected_argument(cls, argument, path)
    return None


def _missing_arguments(cfg: Config, name: str, arguments: list[str]) -> str | None:
    for path, node, cls in typed_dicts(cfg._cfg_dict, cfg.get('default_scope')):
        if name in _names(cls) and not node.keys() & set(arguments):
            return f'{path}: {cls.__name__} needs {", ".join(arguments)}'
    return None


def _refused_argument(cfg: Config, error: Exception) -> str | None:
    """Tell of an error that the constructor of a type in the config, or of a base, raised."""
    steps = list(traceback.walk_tb(error.__traceback__))
    being_built = [_class_being_built(frame) for frame, _ in reversed(steps)]
    dicts = list(typed_dicts(cfg._cfg_dict, cfg.get('default_scope')))
    for kind in filter(None, being_built):
        for path, node, cls in dicts:
            if cls is kind and (reason := word_for_number(path, node, cls)):
                return reason
    frame, line = steps[-1]
    reason = str(error) or linecache.getline(frame.f_code.co_filename, line).strip()
    for kind in itertools.takewhile(bool, being_built):  # no other function has a part in it
        paths = [path for path, _, cls in dicts if cls is kind]
        if paths:
            where = f'{paths[0]}: ' if len(paths) == 1 else ''
            return f'{where}{kind.__name__} refuses its arguments: {reason}'
    return None


def _class_being_built(frame: FrameType) -> type | None:
    """The class whose constructor, its own or a base's, a frame is."""
    is_constructor = frame.f_code.co_name == '__init__' and 'self' in frame.f_locals
    return type(frame.f_locals['self']) if is_constructor else None


def typed_dicts(
    node: Any, scope: str | None, path: str = ''
) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield (path, dict, class or function) for every dict that names a type, and dataloaders."""
    if isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from typed_dicts(child, scope, f'{path}.{index}')
    elif isinstance(node, dict):
        scope = node.get('_scope_', scope)
        cls = DataLoader if path in LOADERS else find_type(node.get('type'), scope)
        if cls is not None:
            yield path, node, cls
        for key, child in node.items():
            yield from typed_dicts(child, scope, f'{path}.{key}' if path else str(key))


def _names(cls: Any) -> set[str]:
    return {base.__name__ for base in getattr(cls, '__mro__', (cls,))}


def word_for_number(path: str, node: dict, cls: Any) -> str | None:
    """Tell of an argument in a dict that is a word where its type expects a number."""
    parameters = parameters_of(cls)
    for name, value in node.items():
        if isinstance(value, str) and name in parameters and _is_number(parameters[name]):
            return f'{path}.{name}: {cls.__name__} expects a number, found {value!r}'
    return None


def _is_number(parameter: inspect.Parameter) -> bool:
    if parameter.annotation is not parameter.empty and 'str' in str(parameter.annotation):
        return False
    default = parameter.default
    by_default = isinstance(default, int | float) and not isinstance(default, bool)
    return by_default or parameter.annotation in (int, float, 'int', 'float')
