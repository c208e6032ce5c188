"""The package's source, read without being imported: its modules, docstrings, imports, layers."""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'fastvit_dense'


@dataclass(frozen=True)
class Module:
    """A module of the package by its name below the package: 'engine.build'; 'engine'; ''."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        """The module's syntax tree."""
        return ast.parse(self.path.read_text(encoding='utf-8'))

    @property
    def room(self) -> str:
        """The package or module directly below `fastvit_dense` that it belongs to."""
        return self.name.partition('.')[0]

    @property
    def summary(self) -> str:
        """The first line of the module's docstring."""
        return (ast.get_docstring(self.tree) or '').partition('\n')[0]

    def origins(self) -> dict[str, str]:
        """Module of the package by the name that is imported from it."""
        return {
            alias.asname or alias.name: self._target(node)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and node.level
            for alias in node.names
        }

    def imported(self) -> set[str]:
        """Modules of the package that this one imports, inside functions too.

        Imports for type checking only do not count. `from . import x` gives 'x', which is a
        module or a name of the module before it.
        """
        found = set()
        for node in _walk_running(self.tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = self._target(node)
                found |= {f'{base}.{alias.name}'.lstrip('.') for alias in node.names}
        return found

    def _target(self, node: ast.ImportFrom) -> str:
        above = node.level - (self.path.name == '__init__.py')
        parts = self.name.split('.') if self.name else []
        return '.'.join([*parts[: len(parts) - above], *filter(None, [node.module])])


def _walk_running(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk all nodes but those below `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
            continue
        yield node
        yield from _walk_running(node)


def read_modules(root: Path = ROOT) -> dict[str, Module]:
    """All modules of the package by name, in the order of their paths; the package itself is ''."""
    top = root / PACKAGE
    modules = {}
    for path in sorted(top.rglob('*.py')):
        parts = path.relative_to(top).with_suffix('').parts
        name = '.'.join(parts).removesuffix('__init__').rstrip('.')
        modules[name] = Module(name, path)
    return modules


def read_layers(root: Path = ROOT) -> list[list[str]]:
    """The layers from the highest to the lowest, as import-linter's contract states them."""
    settings = tomllib.loads((root / 'pyproject.toml').read_text(encoding='utf-8'))
    contracts = settings['tool']['importlinter']['contracts']
    (layers,) = (c['layers'] for c in contracts if c['type'] == 'layers')
    return [
        [room.strip(' ()').removeprefix(f'{PACKAGE}.') for room in re.split('[|:]', layer)]
        for layer in layers
    ]


def read_arrows(modules: dict[str, Module], rooms: list[str]) -> list[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second, both in the order given."""
    found = {
        (module.room, target.partition('.')[0])
        for module in modules.values()
        for target in module.imported()
    }
    return [(a, b) for a in rooms for b in rooms if a != b and (a, b) in found]
