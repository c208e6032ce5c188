"""Predicting pictures from the command line."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..backbones.reparam import reparameterize
from ..datasets.picture_suffixes import unused_pictures
from ..errors import ImageError
from ..inference.predictor import load_model
from ..tasks.config import load_config

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


def predict(
    config: str,
    checkpoint: str,
    images: str,
    out_dir: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    fuse: bool = False,
) -> list[Path]:
    """Predict pictures; for each NAME.jpg write NAME.png and NAME.json to `out_dir`.

    Pictures that cannot be read are named, and the rest goes on; where none could be read, or
    there is none, it is an error.
    """
    from rich.progress import track

    paths = list_images(images)
    root = Path(images)
    left = unused_pictures(root.rglob('*.*'), paths) if root.is_dir() else None
    names = _output_names(paths)
    pictures = {Path(os.path.realpath(path)) for path in paths}
    for name in names.values():
        if Path(os.path.realpath(Path(out_dir, f'{name}.png'))) in pictures:
            raise ImageError(f'{out_dir}/{name}.png would be overwritten; choose another --out-dir')
    cfg = load_config(config, sample=sample, cfg_options=cfg_options, pretrained=False)
    model = load_model(cfg, checkpoint)
    if fuse:
        reparameterize(model.model)
    written, broken = [], []
    for path in track(paths, description='predicting', disable=len(paths) < 2):
        try:
            result = model(path)
        except ImageError as error:
            broken.append(str(error))
            continue
        written.append(result.save_all(f'{out_dir}/{names[path]}'))
    if left:
        print(f'in {images} {left}')
    for line in broken:
        print(f'skipped: {line}')
    if not written:
        raise ImageError(f'{images}: none of {len(paths)} pictures could be read')
    print(f'{len(written)} pictures and their JSON in {out_dir}')
    return written


def list_images(path: str) -> list[Path]:
    """The picture, or the pictures of a folder by name.

    Raises:
        ImageError: There is none.
    """
    root = Path(path)
    if root.is_dir():
        found = sorted(p for p in root.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise ImageError(f'{path}: no pictures ({" ".join(IMAGE_SUFFIXES)}) in this folder')
        return found
    if not root.is_file():
        raise ImageError(f'{path}: no such file or folder')
    return [root]


def _output_names(paths: list[Path]) -> dict[Path, str]:
    """The name of each picture without its suffix, with it where two differ in that alone."""
    stems = Counter(path.stem for path in paths)
    return {p: p.stem if stems[p.stem] == 1 else p.name.replace('.', '_') for p in paths}
