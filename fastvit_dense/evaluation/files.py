"""Writing several files so that an interruption leaves none of them half-written."""

import os
from collections.abc import Mapping
from pathlib import Path


def write_files(folder: str | Path, texts: Mapping[str, str]) -> None:
    """Write UTF-8 text files into a folder, in two steps: all of them aside, then into place.

    An error or an interruption while writing leaves what stood there before, and no other file.

    Args:
        folder: Made if it does not exist.
        texts: Contents by file name; the last one named is put into place last.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    aside = {folder / name: folder / f'.{name}.{os.getpid()}.part' for name in texts}
    try:
        for part, text in zip(aside.values(), texts.values(), strict=True):
            part.write_text(text, encoding='utf-8', newline='\n')
        for target, part in aside.items():
            os.replace(part, target)
    finally:
        for part in aside.values():
            part.unlink(missing_ok=True)
