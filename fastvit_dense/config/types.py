"""The classes that the `type` of a config names, and what they take."""

import difflib
import inspect
from typing import Any

from ..compat.registries import known_names

REGISTRIES = (
    'MODELS',
    'DATASETS',
    'TRANSFORMS',
    'METRICS',
    'HOOKS',
    'LOOPS',
    'DATA_SAMPLERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'PARAM_SCHEDULERS',
    'TASK_UTILS',
    'VISUALIZERS',
    'VISBACKENDS',
    'LOG_PROCESSORS',
)


def no_such_type(name: str, scope: str | None) -> str:
    """Tell that no registry knows a type, with the nearest name that one knows."""
    import mmengine.registry

    known: set[str] = set()
    for registry in REGISTRIES:
        with getattr(mmengine.registry, registry).switch_scope_and_registry(scope) as current:
            known |= known_names(current)
    close = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f'; did you mean {close[0]!r}?' if close else ''
    return f'no type {name!r} is registered{hint}'


def parameters_of(cls: Any) -> dict[str, inspect.Parameter]:
    """Parameters of a class or function by name; those of the bases that it hands `**kwargs` to."""
    found: dict[str, inspect.Parameter] = {}
    for base in inspect.getmro(cls) if inspect.isclass(cls) else (cls,):
        function = base.__dict__.get('__init__') if inspect.isclass(base) else base
        if function is None or base is object:
            continue
        parameters = inspect.signature(function).parameters.values()
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        found = {p.name: p for p in named} | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    found.pop('self', None)
    return found


def find_type(name: Any, scope: str | None = None) -> Any:
    """Return the class that a config's `type` names, whichever registry holds it, or None."""
    if not isinstance(name, str):
        return name
    import mmengine.registry

    for registry in REGISTRIES:
        with getattr(mmengine.registry, registry).switch_scope_and_registry(scope) as current:
            found = current.get(name)
        if found is not None:
            return found
    return None


def base_names(cls: Any) -> tuple[str, ...]:
    """Names of a class and its bases, the nearest first; empty for what is no class."""
    return tuple(base.__name__ for base in inspect.getmro(cls)) if inspect.isclass(cls) else ()
