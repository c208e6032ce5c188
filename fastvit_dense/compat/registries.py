"""Types that mmengine's registries know by name before their modules are imported."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # its import asks this module for `late_types`
    from mmengine.registry import Registry


class LateTypes(dict[str, Any]):
    """The types of a registry by name, some of which are imported when they are asked for.

    It takes the place of the registry's own dict: a registry looks up its parents' types in these
    dicts, not by a method that could be told of ours.

    Args:
        known: What the registry holds already.
        modules: Module by the name of a type that importing the module registers.
    """

    def __init__(self, known: dict[str, Any], modules: dict[str, str]) -> None:
        super().__init__(known)
        self.modules = modules

    def __contains__(self, name: object) -> bool:
        if not super().__contains__(name) and name in self.modules:
            importlib.import_module(self.modules[name])
        return super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        if name in self:
            return super().__getitem__(name)
        raise KeyError(name)

    def __setitem__(self, name: str, value: Any) -> None:
        # ours comes first, so that another type forced into its place stays there
        name in self  # noqa: B015
        super().__setitem__(name, value)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a type by its name, or the default."""
        return super().get(name, default) if name in self else default


def late_types(registry: 'Registry', modules: dict[str, str]) -> None:
    """Tell a registry of types whose modules are imported when they are asked for; idempotent."""
    if not isinstance(registry._module_dict, LateTypes):
        registry._module_dict = LateTypes(registry._module_dict, modules)


def known_names(registry: 'Registry') -> set[str]:
    """Names of all types that a registry and its parents know, imported or not."""
    names: set[str] = set()
    current: Registry | None = registry
    while current is not None:
        names |= current.module_dict.keys() | getattr(current.module_dict, 'modules', {}).keys()
        current = current.parent
    return names
