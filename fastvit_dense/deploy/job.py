"""One export, ready to be written in any format."""

import copy
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config
from torch import nn

from ..backbones.fastvit import FastViT
from ..backbones.reparam import reparameterize
from ..config.loaders import datasets_of
from ..errors import ExportError
from ..graphs.common import BackboneGraph, Normalize, fold_output_norms
from ..graphs.hand import HandGraph
from ..graphs.segmentor import SegmentorGraph
from .description import Description

if TYPE_CHECKING:
    from ..inference.predictor import Predictor


MIN_SIDE = 32


@dataclass(frozen=True)
class Job:
    """One export, ready to be written in any format.

    Attributes:
        predictor: The PyTorch model, as trained.
        graph: The folded network that is traced.
        description: For the file.
    """

    predictor: 'Predictor'
    graph: nn.Module
    description: Description


def prepare(
    cfg: Config,
    checkpoint: str | Path | None,
    *,
    part: str = 'model',
    size: tuple[int, int] | None = None,
    with_mano: bool = False,
) -> Job:
    """Build the model of a config, load its weights and fold a copy of it.

    Args:
        cfg: From `load_config`.
        checkpoint: None leaves the weights random.
        part: 'model' or 'backbone'.
        size: Height and width; None for the config's.
        with_mano: See `export`.
    """
    from ..evaluation.report.model import model_info
    from ..inference.predictor import load_model

    predictor = load_model(cfg, checkpoint, device='cpu')
    model = copy.deepcopy(predictor.model)
    normalize = Normalize(model.data_preprocessor)
    info = model_info(predictor.model, cfg, checkpoint) or {}
    if part == 'backbone':
        model = nn.Module()
        model.backbone = copy.deepcopy(predictor.model.backbone)
    reparameterize(model.eval())
    if isinstance(model.backbone, FastViT):
        normalize.fold_into(model.backbone.stem[0].reparam_conv)
        fold_output_norms(model, model.backbone)
    graph = _graph(predictor, model, normalize, part, with_mano)
    hand_inside = part == 'model' and predictor.task == 'hand' and not getattr(graph, 'raw', True)
    description = Description(
        task=predictor.task,
        part=part,
        config=info.get('config') or Path(cfg.filename or 'config').name,
        classes=list(predictor.classes) if part == 'model' else [],
        input_size=list(_input_size(cfg, predictor.task, size)),
        dynamic_size=True,
        mean=normalize.rgb_mean,
        std=normalize.rgb_std,
        parameters=sum(p.numel() for p in predictor.model.parameters()),
        macs=info.get('macs'),
        macs_of=info.get('macs_of', ''),
        checkpoint_sha256=info.get('checkpoint_sha256', ''),
        mano=model.mano.name if hand_inside else 'none',
    )
    return Job(predictor, graph.eval().requires_grad_(False), description)


def example_image(size: Iterable[int]) -> torch.Tensor:
    """(1, 3, H, W), RGB, 0-255, random."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, 3, *size), generator=generator).float()


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Where to write an export; after the block it, and what lies beside it, replaces what stood.

    Raises:
        ExportError: The place cannot be written to.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix='.export-') as folder:
            yield Path(folder) / out.name
            for file in sorted(Path(folder).iterdir()):
                place = out.parent / file.name
                if place == out and place.is_dir():  # an earlier .mlpackage
                    shutil.rmtree(place)
                os.replace(file, place)
    except OSError as error:
        raise ExportError(f'{out}: cannot be written: {error}') from error


def _graph(
    predictor: 'Predictor', model: nn.Module, normalize: Normalize, part: str, with_mano: bool
) -> Any:
    if part == 'backbone':
        return BackboneGraph(normalize, model.backbone)
    if with_mano and predictor.task != 'hand':
        raise ExportError(f'--with-mano: for hand models, this one is of {predictor.task!r}')
    if predictor.task == 'semantic':
        return SegmentorGraph(normalize, model)
    if predictor.task == 'hand':
        return HandGraph(normalize, model, with_mano)
    from ..graphs.detector import DetectorGraph

    return DetectorGraph(normalize, model, model.data_preprocessor.pad_size_divisor)


def _input_size(cfg: Config, task: str, size: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width: the given ones, else those that the config's test pipeline leads to."""
    if size is not None:
        if min(size) < MIN_SIDE:
            raise ExportError(f'--size {size[0]} {size[1]}: sides of at least {MIN_SIDE} pixels')
        if task == 'hand' and size[0] != size[1]:
            raise ExportError(f'--size {size[0]} {size[1]}: hand models see square images')
        return tuple(size)
    dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
    if task == 'hand':
        side = next((s['size'] for s in dataset.pipeline if s['type'] == 'HandCrop'), 224)
        return side, side
    scales = (s.get('scale') for s in dataset.pipeline if s['type'] == 'Resize')
    scale = next((s for s in scales if isinstance(s, list | tuple)), (512, 512))
    if task == 'instance':  # long and short side, in either order
        return min(scale), max(scale)
    return tuple(cfg.model.data_preprocessor.get('size') or (min(scale), min(scale)))
