"""Every checkpoint read of mmengine goes through the safe reader."""

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from mmengine.logging import print_log

from ..errors import CheckpointError
from .config_text import parse_config_text
from .reader import _read_pickle, load_checkpoint_file


def use_safe_reader(checkpoint: ModuleType) -> None:
    """Make every checkpoint read of mmengine a `load_checkpoint_file`; idempotent.

    That concerns `load_checkpoint`, `Runner.load_checkpoint`, `Runner.resume`, `load_from`,
    `init_cfg=dict(type='Pretrained')` and inferencers, for files, URLs, `torchvision://`,
    `open-mmlab://`, `mmcls://` and `s3://`. `pavi://`, a service inside OpenMMLab, is
    refused.

    Args:
        checkpoint: The module `mmengine.runner.checkpoint`.
    """
    register = checkpoint.CheckpointLoader.register_scheme
    register('', load_from_local, force=True)
    register(('http://', 'https://'), load_from_http, force=True)
    register(('open-mmlab://', 'openmmlab://'), load_from_openmmlab, force=True)
    register((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_ceph, force=True)
    register('pavi://', load_from_pavi, force=True)
    # torchvision:// and mmcls:// look this name up in their module
    checkpoint.load_from_http = load_from_http  # type: ignore[attr-defined]


def load_from_local(filename: str | Path, map_location: Any = None) -> Any:
    """Read a local file, or a published one by its name, for mmengine."""
    from .download import resolve

    return _without_code(load_checkpoint_file(resolve(filename), map_location))


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Read a URL for mmengine.

    A file that torch.hub or mmengine fetched before is used when its name carries its hash: they
    keep files of all addresses by their last name in one folder.
    """
    from .download import HASH_IN_NAME, fetch

    name = filename.rsplit('/', 1)[-1]
    fetched = Path(torch.hub.get_dir(), 'checkpoints', name)
    use_it = HASH_IN_NAME.search(name) and fetched.is_file()
    return load_from_local(fetched if use_it else fetch(filename), map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> Any:
    """Read a model of mmengine's list for mmengine."""
    from mmengine.runner import checkpoint

    name = filename.split('://', 1)[1]
    name = checkpoint.get_deprecated_model_names().get(name, name)
    place = checkpoint.get_external_models()[name]
    if place.startswith(('http://', 'https://')):
        return load_from_http(place, map_location)
    return load_from_local(Path(checkpoint._get_mmengine_home(), place), map_location)


def load_from_ceph(filename: str, map_location: Any = None) -> Any:
    """Read an object of a petrel or S3 store for mmengine."""
    from mmengine.fileio import get_file_backend

    backend = get_file_backend(filename, backend_args={'backend': 'petrel'})
    file = io.BytesIO(backend.get(filename))
    return _without_code(_read_pickle(file, filename, map_location))


def load_from_pavi(filename: str, map_location: Any = None) -> Any:
    """Refuse a pavi:// address."""
    raise CheckpointError(f'{filename}: pavi:// is not supported; download the file and name it')


def _without_code(checkpoint: Any) -> Any:
    """Take configs out of `meta` that are more than data: mmengine runs them as Python."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    for key in ('cfg', 'config'):
        if isinstance(meta, dict) and key in meta and not is_plain_config(meta[key]):
            del meta[key]
            print_log(
                f'the config in the checkpoint (meta.{key}) holds code and was left out',
                'current',
                logging.WARNING,
            )
    return checkpoint


def is_plain_config(text: Any) -> bool:
    """Tell whether a config text only assigns literals, as `Config.pretty_text` writes it."""
    if not isinstance(text, str):
        return True  # only a text would be run
    if '{{' in text:  # mmengine would replace it, also inside strings
        return False
    try:
        return '_base_' not in parse_config_text(text, names={})
    except ValueError:
        return False
