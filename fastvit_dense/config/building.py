"""Building what a config names; an error of it is told with its place in the config."""

import contextlib
import copy
import functools
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import MMLogger, print_log
from mmengine.model import weight_init
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope, Registry, build_functions
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ConfigError, FastViTDenseError
from .loaders import LOADERS, datasets_of
from .types import find_type, no_such_type, refused_argument, word_for_number
from .walk import dicts_of

# every way in which mmengine builds from a dict: the registries, what they call for the entries of
# a list, what initialises weights, and two dicts that its runner reads itself
BUILDERS = (
    (Registry, 'build'),
    (build_functions, 'build_from_cfg'),
    (weight_init, 'build_from_cfg'),
    (Runner, 'build_dataloader'),
    (Runner, 'build_optim_wrapper'),
)
# of a trial, these are the config's; others, such as no GPU, may be the machine's
OF_CONFIG = (AssertionError, LookupError, TypeError, ValueError, type(None))


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
                build = _explained(build_optim_wrapper, cfg, [])
                build(model or nn.Linear(1, 1), cfg.optim_wrapper)
    return model


@contextlib.contextmanager
def _trial(cfg: Config) -> Iterator[None]:
    """Raise what is wrong with the config; other errors are left to the true building."""
    try:
        with explained_building(cfg):
            yield
    except Exception as error:
        if isinstance(error, ConfigError) and isinstance(error.__cause__, OF_CONFIG):
            raise
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
    """Tell the place in the config of what fails while mmengine builds from it.

    Raises:
        ConfigError: `CONFIG: model.neck (FPN): the original message`; the original error is its
            cause. Errors of this package, and those of what no dict of the config names, stay.
    """
    being_built: list[Any] = []
    originals = [(holder, name, holder.__dict__[name]) for holder, name in BUILDERS]
    for holder, name, original in originals:
        setattr(holder, name, _explained(original, cfg, being_built))
    try:
        yield
    finally:
        for holder, name, original in originals:
            setattr(holder, name, original)


def _explained(builder: Any, cfg: Config, being_built: list[Any]) -> Any:
    """A function of mmengine that builds from a dict, extended to tell where it failed."""
    function: Callable = getattr(builder, '__func__', builder)  # of a static method

    @functools.wraps(function)
    def build(*args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        settings = next((a for a in given if isinstance(a, dict | list)), None)
        registry = next((a for a in given if isinstance(a, Registry)), None)
        being_built.append(settings)
        try:
            return function(*args, **kwargs)
        except FastViTDenseError:
            raise
        except Exception as error:
            reason = _explanation(error, cfg, being_built, registry)
            if reason is None:
                raise
            raise ConfigError(f'{cfg.filename or "config"}: {reason}') from error
        finally:
            being_built.pop()

    return staticmethod(build) if isinstance(builder, staticmethod) else build


def _explanation(
    error: Exception, cfg: Config, being_built: list[Any], registry: Registry | None
) -> str | None:
    """Tell what failed and where; None where the innermost thing built is not the config's."""
    place = _place(cfg, being_built)
    if place is None:
        return None
    path, node = place
    built = being_built[-1] if isinstance(being_built[-1], dict) else {}
    kind: Any = DataLoader if path in LOADERS else node.get('type', built.get('type'))
    cls, scope = kind, node.get('_scope_')
    if isinstance(kind, str):
        if registry is None:
            cls = find_type(kind, scope or cfg.get('default_scope'))
        else:
            with registry.switch_scope_and_registry(scope) as current:
                cls = current.get(kind)
        if cls is None:
            return f'{path}: {no_such_type(kind, scope or cfg.get("default_scope"))}'
    if callable(cls):
        reason = word_for_number(path, node, cls) or refused_argument(cls, node, error, path)
        if reason:
            return reason
    name = getattr(kind, '__name__', kind)
    return f'{path}{f" ({name})" if name else ""}: {_message(error)}'


def _place(cfg: Config, being_built: list[Any]) -> tuple[str, dict] | None:
    """(path, dict) of the innermost thing that is built, None where it is not of the config.

    Of several such dicts it is one within what is built around it: a loop is handed what it runs
    from elsewhere, but a model builds its own parts.
    """
    path, node, found = '', cfg._cfg_dict, False
    for settings in being_built:
        places = _places(settings, node, path) or _places(settings, cfg._cfg_dict, '')
        found = bool(places) or (found and isinstance(settings, list))
        if places:
            path, node = max(places, key=lambda place: len(place[1]))  # which tells most of it
    return (path, node) if found else None


def _places(settings: Any, node: Any, path: str) -> list[tuple[str, dict]]:
    """Dicts that something may be built from: it is a copy of one, arguments added."""
    if not isinstance(settings, dict):
        return []
    return [
        (path, part)
        for path, part in dicts_of(node, path)
        if part
        and ('type' in part or '.' not in path)
        and all(key in settings and _same(settings[key], part[key]) for key in part)
    ]


def _same(one: Any, other: Any) -> bool:
    kinds = (isinstance(one, dict) and isinstance(other, dict)) or type(one) is type(other)
    return one is other or (kinds and bool(one == other))


def _message(error: Exception) -> str:
    """The text of an error; of an assertion without one, the line that failed."""
    key = isinstance(error, LookupError) and error.args  # whose text is quoted
    text = str(error.args[0] if key else error)
    if not text:
        text = traceback.extract_tb(error.__traceback__)[-1].line or type(error).__name__
    text = ' '.join(text.split())
    return f'{type(error).__name__}: {text}' if isinstance(error, LookupError) else text
