"""The classes that the `type` of a config names, and what they take."""

import difflib
import inspect
import re
from typing import Any

from ..compat.registries import known_names

SEQUENCES = {'list', 'List', 'tuple', 'Tuple', 'Sequence', 'Iterable'}  # words of annotations
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


def registered_type(name: str, scope: str | None = None) -> Any:
    """Return the class or function of a registered name, or None; nothing is imported by a name.

    `find_type` leaves it to mmengine, which takes a name that no registry knows for a module's.
    """
    import mmengine.registry

    for registry in (*REGISTRIES, 'WEIGHT_INITIALIZERS'):
        with getattr(mmengine.registry, registry).switch_scope_and_registry(scope) as current:
            current.import_from_location()
            if name in known_names(current):
                return current.get(name)
    functions = mmengine.registry.FUNCTIONS  # such as those that collate batches
    return functions.get(name) if name in known_names(functions) else None


def base_names(cls: Any) -> tuple[str, ...]:
    """Names of a class and its bases, the nearest first; empty for what is no class."""
    return tuple(base.__name__ for base in inspect.getmro(cls)) if inspect.isclass(cls) else ()


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


def names_dict(parameter: inspect.Parameter) -> bool:
    """Tell whether the annotation of a parameter names a dict."""
    return bool(_annotated(parameter) & {'dict', 'Dict', 'Mapping'})


def names_kind(parameter: inspect.Parameter, value: Any) -> bool:
    """Tell whether the annotation of a parameter names the kind of a value, beside others."""
    kinds = SEQUENCES if isinstance(value, list | tuple) else {type(value).__name__}
    return bool(_annotated(parameter) & (kinds | {'Any'}))


def _annotated(parameter: inspect.Parameter) -> set[str]:
    """The words of an annotation: {'str', 'dict', 'None'} of `str | dict | None`."""
    return set(re.findall(r'\w+', str(parameter.annotation)))


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


def refused_argument(cls: Any, given: dict, error: Exception, path: str = '') -> str | None:
    """Tell which argument made a call fail: one that the type does not take, or one it lacks.

    Args:
        cls: The class or function that was called.
        given: The arguments from the config, by name; others may have been added.
        error: What the call raised. Python quotes the names of such arguments; without that, what
            is handed on by `**kwargs` would be taken for an error.
        path: Where the arguments stand in the config.

    Returns:
        The message; None where the arguments are as they should be.
    """
    if not isinstance(error, TypeError):
        return None
    parameters, told = parameters_of(cls), str(error)
    for name in given:
        if name not in parameters and repr(name) in told:
            return unexpected_argument(cls, name, path)
    required = [name for name, p in parameters.items() if p.default is p.empty]
    missing = [name for name in required if name not in given and repr(name) in told]
    if missing:
        return f'{path and f"{path}: "}{cls.__name__} needs {", ".join(missing)}'
    return None
