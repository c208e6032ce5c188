"""The settings of `--data`: a folder of the user's own pictures in place of the config's data."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from ..config.loaders import LOADERS
from ..datasets.formats.records import Found
from ..datasets.own_data import describe, read_own_data
from ..errors import ConfigError
from .base import task_of


def apply_own_data(cfg: Config, folder: str | Path, classes: Sequence[str] | None = None) -> None:
    """Point a config at a folder of annotated pictures of any known format, in place.

    What was understood of it is logged, and stands in `about.txt` beside what is written into
    the work dir.

    Args:
        cfg: With `work_dir`.
        folder: Of the pictures.
        classes: Of a model that is to be tested.

    Raises:
        ConfigError, MissingFileError, DataError: With what cannot be used, and where.
    """
    for loader in LOADERS:
        if not cfg.get(loader):
            raise ConfigError(f'{cfg.filename}: --data: expected a {loader}, found none')
    found = read_own_data(folder, testing=classes is not None)
    task_of(cfg).use_data(cfg, found, Path(cfg.work_dir), classes)
    cfg.dataset_name = Path(folder).resolve().name
    cfg.pop('expected_results', None)
    print_log(f'--data {describe(found)}', 'current')


def own_splits(found: Found) -> Iterable[tuple[str, str]]:
    """Pairs of a dataloader and the split that it reads: another where it has no pictures."""
    for first, *others in (('train', 'test', 'val'), ('val', 'test'), ('test', 'val')):
        there = (split for split in (first, *others) if found.of(split))
        yield f'{first}_dataloader', next(there)
