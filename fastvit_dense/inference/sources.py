"""Pictures that a word names: a file, a folder, a pattern, a list of names, an address."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..checkpoints.published import PUBLISHED, published_name
from ..errors import ImageError
from ..tasks.config import published_weights, stands_alone
from .addresses import address_path, is_address

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
LIST_SUFFIX = '.txt'


def list_images(source: str | os.PathLike, recursive: bool = False) -> list[Path | str]:
    """The pictures that a word names, by name.

    Args:
        source: A picture; a folder; a pattern such as `photos/*.jpg` or `photos/**/*.jpg`; or a
            text file, `.txt`, that names one picture a line, from where the command runs; or an
            http(s) address, which stays a `str`.
        recursive: Take the folders within a folder, too; links to folders are not followed.

    Raises:
        ImageError: There is none.
    """
    if is_address(source):
        return [source]
    root = Path(source)
    found: list[Path | str]
    if root.is_dir():
        paths = sorted(_inside(root) if recursive else root.iterdir())
        found = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            below = not recursive and any(p.suffix.lower() in IMAGE_SUFFIXES for p in _inside(root))
            hint = '; those in its folders are taken with --recursive' if below else ''
            kinds = ' '.join(IMAGE_SUFFIXES)
            raise ImageError(f'{source}: no pictures ({kinds}) in this folder{hint}')
        return found
    if root.suffix == LIST_SUFFIX and root.is_file():
        return named_images(root.read_text(encoding='utf-8-sig').splitlines(), str(source))
    if root.is_file():
        return [root]
    if glob.has_magic(str(source)):
        paths = [Path(name) for name in sorted(glob.glob(str(source), recursive=True))]
        found = [path for path in paths if path.is_file()]
        if found:
            return found
        raise ImageError(f'{source}: no file fits this pattern')
    raise ImageError(f'{source}: no such file or folder')


def named_images(lines: Iterable[str], where: str) -> list[Path | str]:
    """The pictures that lines name, in their order; empty lines count for nothing.

    Raises:
        ImageError: There is none.
    """
    names = [line.strip() for line in lines if line.strip()]
    found = [name if is_address(name) else Path(name) for name in names]
    if not found:
        raise ImageError(f'{where}: expected one picture a line, found none')
    return found


def _inside(root: Path) -> Iterable[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def split_words(model: str, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Tell the checkpoint from the sources in what follows the model on a command line.

    The first of several words is a checkpoint where the model is a config, unless it names a
    picture; after a file that stands alone, or a config with published weights, it is one if it is
    named like one.
    """
    first, *others = words
    named = stands_alone(first) or published_name(first) in PUBLISHED
    place = address_path(first) if is_address(first) else Path(first)
    picture = place.suffix.lower() in (*IMAGE_SUFFIXES, LIST_SUFFIX) or first == '-'
    if others and (named or not (picture or stands_alone(model) or published_weights(model))):
        return first, others
    return None, list(words)
