"""The overrides of docs/model_zoo.md, built as they stand there, and a training step with one."""

import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from fastvit_dense.config.channels import check_channels

DOCUMENT = Path(__file__).resolve().parent.parent / 'docs' / 'model_zoo.md'


def read_overrides(section: str) -> dict[str, str]:
    """Title to config text, of one section of the document."""
    (text,) = re.findall(
        rf'^## {section}\n(.*?)(?=^## |\Z)', DOCUMENT.read_text(), re.DOTALL | re.MULTILINE
    )
    return dict(re.findall(r'^### (.+?)\n+```python\n(.*?)```', text, re.DOTALL | re.MULTILINE))


def load_config(text: str, folder: Path) -> Config:
    """The whole config that the override makes."""
    path = folder / 'mine.py'
    path.write_text(text)
    return Config.fromfile(path)


def build_model(config: Config) -> torch.nn.Module:
    """The model with random weights, ready to train in one process."""
    check_channels(config)
    torch.manual_seed(0)
    init_default_scope(config.get('default_scope', 'mmdet'))
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = revert_sync_batchnorm(MODELS.build(config.model))
        model.init_weights()
    assert type(model.backbone).__name__ == 'FastViT'
    return model


def train_one_step(model: torch.nn.Module, batch: dict) -> None:
    """Loss and backward; every parameter of the backbone gets a finite gradient, not zero."""
    model.train()
    data = model.data_preprocessor(batch, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    assert loss.isfinite()
    loss.backward()
    for name, parameter in model.backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def predict(model: torch.nn.Module, batch: dict) -> list:
    """What the model predicts in eval mode."""
    model.eval()
    with torch.no_grad():
        return model(**model.data_preprocessor(batch, training=False), mode='predict')
