"""Names of the classes of masks: labelmap.txt, classes.txt, classes.json, _classes.csv."""

from pathlib import Path
from typing import Any

from ...errors import DataError
from .records import each_once
from .tree import Tree, class_lines, number, read_text, text

Color = tuple[int, int, int]


def read_labelmap(tree: Tree) -> dict[Color, str] | None:
    """Colours and names of CVAT's labelmap.txt (`name:red,green,blue:parts:actions`)."""
    path = next((p for p in tree.files if p.name == 'labelmap.txt'), None)
    if path is None:
        return None
    found: dict[Color, str] = {}
    for place, line in enumerate(read_text(path).splitlines()):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        where = f'{path}: line {place + 1}'
        name, _, rest = line.partition(':')
        parts = rest.partition(':')[0].split(',')
        if len(parts) != 3:
            raise DataError(f'{where}: expected name:red,green,blue::, found {line!r:.60}')
        red, green, blue = (int(number(part.strip(), where)) for part in parts)
        found[red, green, blue] = text(name, where)
    return found or None


def read_value_names(tree: Tree) -> dict[int, str] | None:
    """Names of the values of masks, from the first file of classes that there is; else None."""
    for path in tree.files:
        if path.name in ('classes.txt', 'class_names.txt', 'labels.txt'):
            return dict(enumerate(each_once(class_lines(path), str(path))))
        if path.name in ('classes.json', 'class_names.json', 'id2label.json'):
            found = _of_json(path, tree.json(path))
            each_once(list(found.values()), str(path))
            return found
        if path.name == '_classes.csv':  # Roboflow's
            return dict(_of_csv(path))
    return None


def _of_json(path: Path, content: Any) -> dict[int, str]:
    if isinstance(content, dict):
        inner = content.get('classes') or content.get('names')
        content = inner if isinstance(inner, list | dict) else content
    if isinstance(content, list):
        content = {
            k: entry.get('name') if isinstance(entry, dict) else entry
            for k, entry in enumerate(content)
        }
    try:
        turned = all(isinstance(value, int) for value in content.values())
        pairs = [(v, k) if turned else (k, v) for k, v in content.items()]
        return {int(key): text(str(name), f'{path}: {key}') for key, name in pairs}
    except (ValueError, TypeError, AttributeError):
        raise DataError(f'{path}: expected class names by mask value, found others') from None


def _of_csv(path: Path) -> list[tuple[int, str]]:
    pairs = []
    for place, line in enumerate(read_text(path).splitlines()[1:]):
        value, _, name = line.partition(',')
        if value.strip():
            where = f'{path}: line {place + 2}'
            pairs.append((int(number(value.strip(), where)), text(name, where)))
    return pairs
