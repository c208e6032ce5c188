"""The format of a folder of annotated pictures, recognised, and the folder read."""

import pkgutil
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path

from ...errors import DataError
from ..decoding import size_of
from .records import SPLITS, Format, Found
from .slips import without_slips
from .tree import Tree, UnreadablePicture

EXAMPLES = 4
ARCHIVES = ('.zip', '.tar', '.gz', '.tgz', '.7z', '.rar')


@cache
def formats() -> tuple[Format, ...]:
    """The formats, in the order in which a folder is compared with them.

    They are the objects `FORMAT` of the modules of this package.
    """
    package = import_module(__package__)
    modules = [
        import_module(f'{__package__}.{m.name}') for m in pkgutil.iter_modules(package.__path__)
    ]
    found = [module.FORMAT for module in modules if hasattr(module, 'FORMAT')]
    return tuple(sorted(found, key=lambda format_: format_.order))


def read_folder(folder: str | Path) -> Found:
    """Recognise the format of a folder and read it.

    Raises:
        MissingFileError: There is no such folder.
        DataError: It is of no known format, or an annotation is broken; the message names the file
            and the field, or what was looked for and what was found.
    """
    tree = Tree(folder)
    for format_ in formats():
        if format_.recognise(tree):
            found = _read(format_, tree)
            if not found.pictures:
                raise DataError(f'{folder}: {format_.name}: no annotated picture in it')
            if not found.objects and not found.mask_classes:
                raise DataError(
                    f'{folder}: {format_.name}: expected annotated objects, found none in '
                    f'{len(found.pictures)} pictures{"".join(f"; {note}" for note in found.notes)}'
                )
            found.notes += _alike(found.classes or found.mask_classes)
            found.pictures.sort(key=lambda p: (SPLITS.index(p.split) if p.split else 0, p.path))
            return without_slips(found)
    looked_for = '; '.join(f'{f.name}: {f.looks_for}' for f in formats())
    nearly = '; '.join(filter(None, (f.nearly(tree) for f in formats())))
    found_there = f'{_inventory(tree)}{_broken(tree)}{"; " * bool(nearly)}{nearly}'
    raise DataError(f'{folder}: {found_there}. Annotations were looked for as {looked_for}')


def _read(format_: Format, tree: Tree) -> Found:
    try:
        return format_.read(tree)
    except UnreadablePicture as error:
        broken = [path.name for path in tree.pictures if size_of(path) is None]
        if len(broken) < 2:
            raise
        names = ', '.join(broken[:EXAMPLES]) + ', ...' * (len(broken) > EXAMPLES)
        raise DataError(
            f'{error} ({len(broken)} of {len(tree.pictures)} pictures cannot be read: {names})'
        ) from None


def _alike(classes: tuple[str, ...]) -> list[str]:
    """Notes on classes that differ by case or spaces alone."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault(''.join(name.lower().split()), name), name) for name in classes]
    return [
        f'{known!r} and {name!r} are two classes; their names differ by case or spaces alone'
        for known, name in pairs
        if known != name
    ]


def _broken(tree: Tree) -> str:
    """Tell of the first JSON file that cannot be read: it may hold the annotations."""
    for path in tree.of('.json'):
        try:
            tree.json(path)
        except DataError as error:
            return f'; one is broken: {error}'
    return ''


def _inventory(tree: Tree) -> str:
    """Tell in words what a folder holds."""
    if not tree.files:
        return 'the folder is empty'
    kinds = Counter(path.suffix.lower() or 'without suffix' for path in tree.files)
    counted = ', '.join(f'{n} {kind}' for kind, n in kinds.most_common(6))
    names = ', '.join(str(path.relative_to(tree.root)) for path in tree.files[:EXAMPLES])
    found = f'found no annotations of a known format in {len(tree.files)} files'
    packed = next(iter(tree.of(*ARCHIVES)), None)
    return f'{found} ({counted}: {names})' + (f'; unpack {packed} first' if packed else '')
