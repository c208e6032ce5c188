"""Configs that checkpoints carry: data, of which nothing is run.

mmengine writes the config of a run into `meta.cfg` of its checkpoints. It is read as literals, what
testing and predicting need of it is kept, and it must name registered types only: mmengine would
import whatever else a `type` or a scope spells, and unpickle files that some settings name.
"""

import os
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ..checkpoints.config_text import parse_config_text
from ..checkpoints.download import resolve
from ..checkpoints.reader import load_checkpoint_file
from ..errors import CheckpointError, FastViTDenseError, reason_of
from .loaders import datasets_of
from .reading import check_shapes, remove_pretrained
from .types import registered_type
from .walk import dicts_of

EXPORT_SUFFIXES = ('.onnx', '.xml', '.mlpackage')
CHECKPOINT_SUFFIXES = ('.pth', '.pt', '.ckpt', '.tar', '.bin', '.safetensors')
# what a checkpoint's config is read for: model, data, scores
KEPT = (
    *('model', 'default_scope', 'image_bits', 'env_cfg', 'randomness'),
    *('train_dataloader', 'val_dataloader', 'test_dataloader'),
    *('val_evaluator', 'test_evaluator', 'val_cfg', 'test_cfg'),
    *('dataset_name', 'expected_results', 'tta_model', 'tta_pipeline'),
)
SCOPES = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmpose')
PROGRAMS = ('pkl', 'pickle', 'yaml', 'yml')  # files that mmengine reads by running them
OPERATORS = ('nms', 'roi_layer')  # keys whose type mmdet looks up among mmcv's operators
# types of mmdet that run an argument, or what a file of any name holds
RUNNING = ('CameraMotionCompensation', 'RefCocoDataset')
MANO = re.compile(r'(^|\.)mano(\.path)?$')  # whose pickle is read by this package, as data


def is_checkpoint(path: Any) -> bool:
    """Tell whether a name is that of a checkpoint rather than of a config."""
    return Path(str(path)).suffix.lower() in CHECKPOINT_SUFFIXES


def is_exported(path: Any) -> bool:
    """Tell whether a name is that of an exported file rather than of a checkpoint."""
    return path is not None and Path(path).suffix in EXPORT_SUFFIXES


def read_checkpoint_config(path: str | os.PathLike) -> Config:
    """Read the config that a checkpoint carries, as data.

    Args:
        path: A file that training wrote, or its address.

    Returns:
        What testing and predicting need; its `filename` is a place inside the checkpoint.

    Raises:
        CheckpointError: The file cannot be read, carries no config, or one that is more than data.
    """
    content = load_checkpoint_file(resolve(str(path)), lazy=True)
    meta = content.get('meta') if isinstance(content, dict) else None
    text = meta.get('cfg') if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or text is None:
        raise CheckpointError(
            f'{path}: carries no config (meta.cfg), so it cannot stand alone; name its config first'
        )
    return stored_config(text, path, _config_name(meta, path))


def stored_settings(meta: Any) -> dict[str, Any]:
    """Read what the config in a checkpoint's `meta` sets, as data; nothing where it is more."""
    return _settings_in(meta.get('cfg') if isinstance(meta, dict) else None)


def use_stored_bits(cfg: Config, text: Any, path: str | os.PathLike) -> None:
    """Read pictures as a checkpoint's training did, unless a config states `image_bits`.

    Args:
        cfg: `image_bits` is set in it.
        text: Of the config that the checkpoint, or an exported file, carries.
        path: Of that file.
    """
    bits = None if cfg.get('image_bits') else _settings_in(text).get('image_bits')
    if bits is not None:
        cfg.image_bits = bits
        print_log(f'image_bits={bits}, as in the training of {path}', 'current')


def _settings_in(text: Any) -> dict[str, Any]:
    try:
        return parse_config_text(text)
    except ValueError:
        return {}


def stored_config(text: Any, path: str | os.PathLike, name: str) -> Config:
    """Make a config of the text that a checkpoint or an exported file holds.

    Args:
        text: What mmengine's `Config.pretty_text` gave.
        path: Of the file that holds it.
        name: Of the config, without `.py`.

    Raises:
        CheckpointError: The text is more than data, or not that of a whole model.
    """
    try:
        found = parse_config_text(text)
        cfg = Config(
            {key: found[key] for key in KEPT if key in found},
            cfg_text=str(text),
            filename=str(Path(path, f'{name}.py')),
            format_python_code=False,
        )
        if not isinstance(cfg.get('model'), dict):
            raise ValueError('no model in it, expected the config of a whole model')
        _check_values(cfg)
        check_shapes(cfg)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, FastViTDenseError):
            raise CheckpointError(str(error)) from error
        raise CheckpointError(
            f'{path}: its config is refused: {reason_of(error)}; nothing of it was run. Where you '
            'have the config file and trust it, name it first'
        ) from error
    return cfg


def prediction_text(cfg: Config) -> str:
    """Write the part of a config that predicting reads, without a word of data or places of files.

    Returns:
        A text that `stored_config` reads; '' where the config holds more than data.
    """
    model = cfg.model.copy()
    remove_pretrained(model)
    dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
    dataset = {
        key: dataset[key] for key in ('type', '_scope_', 'metainfo', 'pipeline') if key in dataset
    }
    part = dict(model=model, test_dataloader=dict(dataset=dataset))
    part |= {key: cfg[key] for key in ('default_scope', 'image_bits') if key in cfg}
    text: str = Config(part, format_python_code=False).pretty_text
    try:
        stored_config(text, 'export', 'config')
    except CheckpointError:
        return ''
    return text


def _config_name(meta: dict, path: str | os.PathLike) -> str:
    """The name of the config that was trained, by that of the run; else of the checkpoint."""
    run = re.fullmatch(r'(\w[\w.-]*)_\d{8}_\d{6}', str(meta.get('experiment_name')))
    return run[1] if run else Path(str(path)).stem


def _check_values(cfg: Config) -> None:
    """Check what mmengine would import or unpickle; types become the names that they have."""
    import mmcv.ops

    check_scope('default_scope', cfg.get('default_scope'))
    for path, node in dicts_of(cfg._cfg_dict):
        check_scope(f'{path}._scope_', node.get('_scope_'))
        for key, value in node.items():
            _check_files(f'{path}.{key}' if path else str(key), value)
        kind = node.get('type')
        if isinstance(kind, str):
            scope = node.get('_scope_') or cfg.get('default_scope')
            name = _type_name(kind, scope)
            if name is None and path.rpartition('.')[2] in OPERATORS:
                name = kind if hasattr(mmcv.ops, kind) else None
            if name is None or name.rpartition('.')[2] in RUNNING:
                raise ValueError(
                    f'{path}.type: {kind!r:.80} is no registered type that is safe (types of your '
                    'own are, once you have imported their module)'
                )
            node['type'] = name


def check_scope(path: str, scope: Any) -> None:
    """Raise ValueError where a scope is none of those that this package works with."""
    if scope is not None and scope not in SCOPES:
        raise ValueError(f'{path}: expected one of {", ".join(SCOPES)}, found {scope!r:.60}')


def _check_files(path: str, value: Any) -> None:
    for item in value if isinstance(value, list | tuple | set) else [value]:
        if not isinstance(item, str) or MANO.search(path):
            continue
        if item.rpartition('.')[2].lower() in PROGRAMS:
            raise ValueError(f'{path}: {item!r:.80} would be run when it is read')


def _type_name(kind: str, scope: str | None) -> str | None:
    """The registered name of a type; None: there is none.

    Configs without a text of their own (`lazy_import`) spell the whole place of a class.
    """
    head, _, name = kind.rpartition('.')
    if not head or head in SCOPES:
        return kind if registered_type(name, head or scope) is not None else None
    found = registered_type(name, scope)
    place = f'{getattr(found, "__module__", "")}.{getattr(found, "__qualname__", "")}'
    return name if place == kind else None
