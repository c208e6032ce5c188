"""docs/api.md: the public names with their docstrings, read from the source."""

import ast
import re
from collections.abc import Iterable, Iterator

from .code import PACKAGE, ROOT, Module, read_layers, read_modules

PATH = ROOT / 'docs/api.md'
# what others may rely on: the names that a package hands on, or one name of a module
STABLE = (
    '',
    'inference',
    'results.instance.InstanceResult',
    'results.semantic.SemanticResult',
    'results.hand.HandResult',
    'checkpoints.pretrained.LoadReport',
    'engine',
    'tasks.config.load_config',
    'evaluation',
    'hand',
    'datasets.loading.read_image',
)
INTRO = f"""# API

Written from the docstrings by `make docs`; do not edit it here. What each room is for:
[architecture.md](architecture.md).

The stable names keep their place and meaning from release to release. What else is public in the
modules is listed below them, a line each; it may move, and [CHANGELOG.md](../CHANGELOG.md) tells
where to.

`import {PACKAGE}` registers with OpenMMLab the types that configs name:

"""
SECTIONS = ('Args', 'Returns', 'Raises', 'Yields', 'Attributes')
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def render() -> str:
    """Write the page of the package as it is now, as Markdown."""
    modules = read_modules()
    stable = _stable(modules)
    lines = [INTRO + _registered(modules)]
    lines.append('## Stable names')
    for shown, module, name in stable:
        lines += _entry(_definitions(module)[name], f'{shown}.{name}', level=3)
    lines.append('## Modules')
    listed = {(module.name, name) for _, module, name in stable}
    rooms = [room for layer in read_layers() for room in layer]
    for room in rooms:
        for module in modules.values():
            if module.room == room and room != '__main__':
                lines += _module(module, listed)
    return '\n\n'.join(lines) + '\n'


def _stable(modules: dict[str, Module]) -> list[tuple[str, Module, str]]:
    """(module that users import it from, module that defines it, name) of each stable name."""
    found = {}
    for place in STABLE:
        if place in modules:
            names = _all(modules[place].tree)
        else:
            place, _, name = place.rpartition('.')
            names = [name]
        for name in names:
            module = _definer(modules, place, name)
            if name in _definitions(module):
                found.setdefault((module.name, name), (f'{PACKAGE}.{place}'.rstrip('.'), module))
    return [(shown, module, name) for (_, name), (shown, module) in found.items()]


def _definer(modules: dict[str, Module], module: str, name: str) -> Module:
    """The module that defines a name, past those that only hand it on."""
    while name not in _definitions(modules[module]) and name in modules[module].origins():
        module = modules[module].origins()[name]
    return modules[module]


def _all(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
            return ast.literal_eval(node.value)
    return []


def _definitions(module: Module) -> dict[str, Definition]:
    """The module's own public classes and functions."""
    return {
        node.name: node
        for node in module.tree.body
        if isinstance(node, Definition) and not node.name.startswith('_')
    }


def _registered(modules: dict[str, Module]) -> str:
    """A table of the types that `integration` registers."""
    (types,) = (
        ast.literal_eval(node.value)
        for node in modules['integration'].tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'TYPES'
    )
    rows = ['| registry | type | |', '|---|---|---|']
    for registry, places in types.items():
        for name, module in sorted(places.items()):
            words = _first_line(_definitions(modules[module])[name])
            rows.append(f'| `{registry}` | `{name}` | {words.replace("|", chr(92) + "|")} |')
    return '\n'.join(rows)


def _module(module: Module, listed: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A heading, and a line for each public class and function that is not among `listed`."""
    lines = [
        f'- `{_call(node, _names(node))}`: {_first_line(node)}'
        for name, node in _definitions(module).items()
        if (module.name, name) not in listed and ast.get_docstring(node)
    ]
    if '.' not in module.name:
        yield f'### {PACKAGE}.{module.name}'
        yield module.summary
    elif lines:
        source = module.path.relative_to(ROOT)
        yield f'[`{module.name}`](../{source}): {module.summary}'
    if lines:
        yield '\n'.join(lines)


def _names(node: Definition) -> list[str]:
    """The names of what a function, or a class to be built, takes."""
    return [re.match(r'\*{0,2}\w*', words)[0] for words in _parameters(node)]


def _entry(node: Definition, title: str, level: int) -> Iterator[str]:
    """A heading, the signature, the docstring, and the same of a class's public methods."""
    yield f'{"#" * level} {title}'
    yield f'```python\n{_signature(node)}\n```'
    yield _as_markdown(ast.get_docstring(node) or '')
    if not isinstance(node, ast.ClassDef):
        return
    for method in node.body:
        if not isinstance(method, ast.FunctionDef) or method.name.startswith('_'):
            continue
        if text := ast.get_docstring(method):
            head = method.name if _has(method, 'property') else _signature(method, bound=True)
            yield f'```python\n.{head}\n```'
            yield _as_markdown(text)


def _first_line(node: Definition) -> str:
    return _plain((ast.get_docstring(node) or '').partition('\n')[0])


def _plain(docstring: str) -> str:
    """The docstring without reStructuredText's marks."""
    return re.sub(r':\w+:`~?', '`', docstring.replace('``', '`'))


def _signature(node: Definition, *, bound: bool = False) -> str:
    """`name(argument: type = default) -> type`, an argument a line where one line is too long."""
    parameters = _parameters(node)[int(bound and not _has(node, 'staticmethod')) :]
    if isinstance(node, ast.ClassDef):
        return f'class {_call(node, parameters, "")}'
    return _call(node, parameters, f' -> {ast.unparse(node.returns)}' if node.returns else '')


def _parameters(node: Definition) -> list[str]:
    """What a function takes; a class's constructor; the fields of a dataclass."""
    if not isinstance(node, ast.ClassDef):
        return _arguments(node.args)
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == '__init__':
            return _arguments(method.args)[1:]
    if _has(node, 'dataclass'):
        return [ast.unparse(field) for field in node.body if isinstance(field, ast.AnnAssign)]
    return []


def _has(node: Definition, decorator: str) -> bool:
    return any(decorator in ast.unparse(words) for words in node.decorator_list)


def _arguments(arguments: ast.arguments) -> list[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    words = [_argument(a, d) for a, d in zip(positional, defaults, strict=True)]
    if arguments.vararg:
        words.append(f'*{ast.unparse(arguments.vararg)}')
    elif arguments.kwonlyargs:
        words.append('*')
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    words += [_argument(a, d) for a, d in pairs]
    if arguments.kwarg:
        words.append(f'**{ast.unparse(arguments.kwarg)}')
    return words


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    words = ast.unparse(argument)
    if default is None:
        return words
    return f'{words}{" = " if argument.annotation else "="}{ast.unparse(default)}'


def _call(node: Definition, parameters: list[str], returns: str | None = None) -> str:
    """`name(parameters)`; the bare name of a class that takes what its base takes."""
    if isinstance(node, ast.ClassDef) and not parameters:
        return node.name
    line = f'{node.name}({", ".join(parameters)}){returns or ""}'
    if len(line) <= 92 or returns is None:
        return line
    return f'{node.name}(\n{"".join(f"    {words},{chr(10)}" for words in parameters)}){returns}'


def _as_markdown(docstring: str) -> str:
    """Google's sections as lists; everything else as it stands."""
    blocks, section = [], None
    for line in _plain(docstring).splitlines():
        if line.rstrip(':') in SECTIONS and line.endswith(':'):
            section = line
            blocks += ['', f'**{line}**', '']
        elif section and line[:1].strip():
            section = None
            blocks.append(line)
        elif section and (item := re.match(r' {4}(\*{0,2}\w[\w.*, ]*): (.*)', line)):
            blocks.append(f'- `{item[1]}`: {item[2]}')
        elif section:
            blocks.append(line[4:] if section.startswith(('Returns', 'Yields')) else line[6:])
        else:
            blocks.append(line)
    return re.sub(r'\n{3,}', '\n\n', '\n'.join(blocks)).strip()
