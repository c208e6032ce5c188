"""Calls that wait until a module is imported."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def after_import(name: str, function: Callable[[ModuleType], None]) -> None:
    """Call a function with a module: now where it is imported already, else once it is.

    Args:
        name: Full name of the module.
        function: May change the module.
    """
    if name in sys.modules:
        function(sys.modules[name])
    elif not any(isinstance(f, _Waiting) and f.name == name for f in sys.meta_path):
        sys.meta_path.insert(0, _Waiting(name, function))


class _Waiting(MetaPathFinder):
    """Finds one module as all other finders would, and lets a function follow its execution."""

    def __init__(self, name: str, function: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.function = function

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's own spec, its execution extended; None for other modules."""
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_follow(module: ModuleType) -> None:
            execute(module)
            self.function(module)

        spec.loader.exec_module = execute_and_follow  # type: ignore[method-assign]
        return spec
