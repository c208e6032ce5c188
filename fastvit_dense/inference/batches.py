"""Pictures in batches: read ahead by threads, run together where the network sees one size."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar('Item')
Read = TypeVar('Read')
READERS = 4  # threads that read pictures


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], Read], size: int
) -> Iterator[tuple[list[Item], list[Read]]]:
    """Yield windows of items with what was read of them; the next window is read meanwhile.

    Args:
        items: Taken as they are needed.
        read: Called by threads, once for each item.
        size: Of a window. At most two of them are in memory.
    """
    source = iter(items)
    with ThreadPoolExecutor(min(READERS, size)) as pool:

        def start() -> tuple[list[Item], list[Future]]:
            window = list(islice(source, size))
            return window, [pool.submit(read, item) for item in window]

        window, futures = start()
        while window:
            following = start()
            yield window, [future.result() for future in futures]
            window, futures = following


def groups_of_one_shape(shapes: Iterable[Iterable[int]]) -> Iterator[list[int]]:
    """Yield the places of inputs of one shape: padding a picture would change its result."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, shape in enumerate(shapes):
        groups.setdefault(tuple(shape), []).append(place)
    yield from groups.values()
