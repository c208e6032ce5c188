"""Exported files in the place of checkpoints, built by the registry."""

import os

from mmengine.config import Config

from ..config.loaders import dataset_classes, datasets_of
from ..tasks import task_of


def exported_model_cfg(cfg: Config, path: str | os.PathLike) -> dict:
    """The `model` that takes the place of a config's own where an exported file is given."""
    dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
    return dict(
        type='ExportedModel',
        path=str(path),
        model=cfg.model,
        task=task_of(cfg).name,
        classes=dataset_classes(dataset, cfg.get('default_scope')) or (),
    )
