"""One export, ready to be written in any format."""

import copy
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from ..backbones.reparam import reparameterize
from ..config.resizing import resize_rule
from ..config.stored import prediction_text
from ..errors import ExportError, reason_of
from ..evaluation.report.model import model_info
from ..graphs.common import BackboneGraph, Normalize, fold_surroundings
from ..inference.predictor import Predictor, load_model
from ..tasks import Task
from .description import LAYOUT, LAYOUT_OF_BATCHES, Description
from .onnx_file import takes_batches

MIN_SIDE = 32


@dataclass(frozen=True)
class Job:
    """One export, ready to be written in any format.

    Attributes:
        predictor: The PyTorch model, as trained.
        graph: The folded network that is traced.
        description: For the file.
        precision: 'fp32', 'fp16', 'int8', or 'int8 symmetric'.
        calibration_images: Training images that the ranges of int8 are taken from.
        more_sizes: Height and width, beside `description.input_size`, of files for stated sizes.
    """

    predictor: Predictor
    graph: nn.Module
    description: Description
    precision: str = 'fp32'
    calibration_images: int = 0
    more_sizes: tuple[tuple[int, int], ...] = ()


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
    predictor = load_model(cfg, checkpoint, device='cpu')
    task = predictor.task
    model = copy.deepcopy(predictor.model)
    normalize = Normalize(model.data_preprocessor)
    info = model_info(predictor.model, cfg, checkpoint, task.macs_size) or {}
    if part == 'backbone':
        model = nn.Module()
        model.backbone = copy.deepcopy(predictor.model.backbone)
    reparameterize(model.eval())
    fold_surroundings(model, normalize)
    graph = _graph(task, model, normalize, part, with_mano)
    description = Description(
        task=task.name,
        part=part,
        config=info.get('config') or Path(cfg.filename or 'config').name,
        classes=list(predictor.classes) if part == 'model' else [],
        input_size=list(_input_size(cfg, task, size)),
        dynamic_size=True,
        mean=normalize.rgb_mean,
        std=normalize.rgb_std,
        parameters=sum(p.numel() for p in predictor.model.parameters()),
        macs=info.get('macs'),
        macs_of=info.get('macs_of', ''),
        checkpoint_sha256=info.get('checkpoint_sha256', ''),
        mano=getattr(graph, 'mano', 'none'),
        resize=resize_rule(predictor.pipeline) if part == 'model' else {},
        prediction=prediction_text(predictor.cfg) if part == 'model' else '',
        takes_batches=takes_batches(graph),
        input_layout=LAYOUT_OF_BATCHES if takes_batches(graph) else LAYOUT,
    )
    return Job(predictor, graph.eval().requires_grad_(False), description)


def example_image(size: Iterable[int]) -> torch.Tensor:
    """(1, 3, H, W), RGB, 0-255, random."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, 3, *size), generator=generator).float()


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Write an export aside; after the block it, and what lies beside it, replaces what stood.

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
        raise ExportError(f'{out}: cannot be written: {reason_of(error)}') from error


def _graph(task: Task, model: nn.Module, normalize: Normalize, part: str, with_mano: bool) -> Any:
    if part == 'backbone':
        return BackboneGraph(normalize, model.backbone)
    if with_mano and not task.has_mano:
        raise ExportError(f'--with-mano: for hand models, this one is of {task.name!r}')
    return task.graph(normalize, model, with_mano)


def checked_size(task: Task, size: tuple[int, int]) -> tuple[int, int]:
    """A height and width that a user gave.

    Raises:
        ExportError: No picture of a model of this task has it.
    """
    if min(size) < MIN_SIDE:
        raise ExportError(f'--size {size[0]} {size[1]}: sides of at least {MIN_SIDE} pixels')
    if task.square_images and size[0] != size[1]:
        raise ExportError(f'--size {size[0]} {size[1]}: models of {task.name!r} see square images')
    return tuple(size)


def _input_size(cfg: Config, task: Task, size: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width: the given ones, else those that the config's test pipeline leads to."""
    if size is None:
        return task.input_size(cfg)
    return checked_size(task, size)
