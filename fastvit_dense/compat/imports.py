"""Calls that wait until a module is imported, and modules in the place of missing ones."""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def after_import(name: str, function: Callable[[ModuleType], None]) -> None:
    """Call a function with a module: now where it is imported already, and after each execution.

    Args:
        name: Full name of the module.
        function: May change the module; asked for twice, it is still called once.
    """
    if name in sys.modules:
        function(sys.modules[name])
    waiting = (f for f in sys.meta_path if isinstance(f, _Waiting))
    if not any((f.name, f.function) == (name, function) for f in waiting):
        sys.meta_path.insert(0, _Waiting(name, function))


class _Waiting(MetaPathFinder):
    """Find one module as all other finders would, and let a function follow its execution."""

    def __init__(self, name: str, function: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.function = function

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's own spec, its execution extended; None for other modules."""
        if name != self.name:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_follow(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == name:  # some loaders, as that of zip files, are shared
                self.function(module)

        spec.loader.exec_module = execute_and_follow  # type: ignore[method-assign]
        return spec


def offer_module(name: str, replacement: str) -> None:
    """Let a module that no installed package has be imported, with the names of another one.

    Args:
        name: Full name of the module.
        replacement: Full name of the other one, which is imported when the first is.
    """
    if not any(isinstance(f, _Offering) and f.name == name for f in sys.meta_path):
        sys.meta_path.append(_Offering(name, replacement))


class _Offering(MetaPathFinder, Loader):
    """Find one module that all finders before did not."""

    def __init__(self, name: str, replacement: str) -> None:
        self.name = name
        self.replacement = replacement

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec of the module; None for other modules."""
        return ModuleSpec(name, self, is_package=True) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        """Take over the public names of the replacement."""
        names = vars(importlib.import_module(self.replacement))
        vars(module).update({n: value for n, value in names.items() if not n.startswith('_')})
