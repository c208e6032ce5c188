"""The one walk over a config."""

from collections.abc import Iterable, Iterator
from typing import Any


def dicts_of(node: Any, path: str = '') -> Iterator[tuple[str, dict]]:
    """Dicts of a config's node, itself first and each before those below it.

    A dict may be changed when it is yielded: the walk goes on in what then stands in it.

    Args:
        node: A config's dict, list or value.
        path: Where the node stands; the paths below it begin with that.

    Yields:
        (path, dict), the path as an option of the command line has it: 'model.roi_head.0.loss'.
    """
    if isinstance(node, dict):
        yield path, node
        children: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list | tuple):
        children = enumerate(node)
    else:
        return
    for key, child in children:
        yield from dicts_of(child, f'{path}.{key}' if path else str(key))
