"""Training epochs with drawn picture sizes (`MultiScaleBatchSampler`) and with one size."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.comparing import measured
from benchmarks.machine import describe_machine, set_threads
from benchmarks.tables import machine_line
from fastvit_dense.config.building import quiet_log
from fastvit_dense.evaluation.report.tables import table
from fastvit_dense.tasks.config import load_config

CONFIG = 'deeplabv3_mobilevit_xxs'  # a whole model that takes any size
WAYS = ('fixed', 'base', 'max')


@dataclass(frozen=True)
class Work:
    """Pictures that are trained, always the same ones, once in an epoch.

    Attributes:
        images: Of an epoch.
        batch_size: Of the fixed size, of the base size and of the largest, for `budget` 'max'.
        base: Side of the fixed size in pixels; the drawn ones are five from 5/8 to 5/4 of it.
        turns: Of the three ways, each in a process of its own, with an order of its own.
    """

    images: int = 80
    batch_size: int = 8
    base: int = 256
    turns: int = 3


QUICK = Work(images=8, batch_size=4, base=128, turns=1)


def benchmark_sampler(work: Work, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Train two epochs in each way, in turns; the second is timed.

    Returns:
        JSON-able: `machine`, `work`, `config` and `rows`, one for each way: `images_per_second`,
        `pixels_per_second`, `epoch_seconds`, `steps`, `pixels` (of an epoch) and `peak_mb` (of
        the process, and `over_mb`, how much of it the epochs added), medians over the turns, and
        `turns`, all of them.
    """
    machine = describe_machine('cpu')
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for turn in range(work.turns):
        for way in WAYS[turn % 3 :] + WAYS[: turn % 3]:
            progress(f'turn {turn + 1} of {work.turns}: {way}')
            result, costs = measured(_prepare, _train, work, way, turn, torch.get_num_threads())
            found[way].append({**result, 'peak_mb': costs['peak_mb'], 'over_mb': costs['over_mb']})
    rows = [{'way': way, **_medians(found[way]), 'turns': found[way]} for way in WAYS]
    return {'machine': machine, 'config': CONFIG, 'work': asdict(work), 'rows': rows}


def _medians(turns: Sequence[dict[str, Any]]) -> dict[str, float]:
    numbers = {
        name: median(turn[name] for turn in turns)
        for name in ('epoch_seconds', 'steps', 'images', 'pixels', 'peak_mb', 'over_mb')
    }
    for name in ('images', 'pixels'):
        numbers[f'{name}_per_second'] = median(t[name] / t['epoch_seconds'] for t in turns)
    return numbers


def training_config(work: Work, way: str, seed: int) -> Config:
    """The config on sample data, its pictures resized to the sizes of one way."""
    cfg = load_config(CONFIG, sample=True)
    resize = dict(type='Resize', scale=('width', 'height'), keep_ratio=False)
    loader = cfg.train_dataloader
    loader.update(num_workers=0, persistent_workers=False, batch_size=work.batch_size)
    loader.sampler = dict(type='SeededSampler', shuffle=True, seed=seed)
    sizes: dict[str, Any] = dict(min_size=work.base * 5 // 8, max_size=work.base * 5 // 4)
    if way == 'fixed':
        sizes = dict(min_size=work.base, max_size=work.base, num_scales=1)
    loader.batch_sampler = dict(
        type='MultiScaleBatchSampler',
        base_size=(work.base, work.base),
        budget='max' if way == 'max' else 'base',
        **sizes,
    )
    loader.drop_last = False
    loader.dataset.indices = work.images
    loader.dataset.pipeline = [
        dict(type='SeedSample'),
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='AtSampledSize', transforms=[resize]),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackSegInputs'),
    ]
    cfg.model.data_preprocessor = ConfigDict(
        {**cfg.model.data_preprocessor, 'size': None, 'size_divisor': 1}
    )
    return cfg


def _prepare(work: Work, way: str, seed: int, threads: int) -> tuple[Any, ...]:
    set_threads(threads)
    cfg = training_config(work, way, seed)
    init_default_scope(cfg.default_scope)
    with quiet_log(), DefaultScope.overwrite_default_scope(cfg.default_scope):
        torch.manual_seed(0)
        model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=seed)
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    return model, loader, optimizer


def _train(prepared: tuple[nn.Module, DataLoader, OptimWrapper]) -> dict[str, Any]:
    """Train two epochs; the first meets each size for the first time, the second is told."""
    model, loader, optimizer = prepared
    for epoch in range(2):
        loader.batch_sampler.sampler.set_epoch(epoch)
        shapes = []
        start = perf_counter()
        for batch in loader:
            shapes.append([len(batch['inputs']), *batch['inputs'][0].shape[1:]])
            model.train_step(batch, optimizer)
        seconds = perf_counter() - start
    return {
        'epoch_seconds': seconds,
        'steps': len(shapes),
        'images': sum(images for images, _, _ in shapes),
        'pixels': int(np.prod(shapes, axis=1).sum()),
        'shapes': shapes,
    }


def sampler_table(results: dict[str, Any]) -> str:
    """A row for each way, beside the fixed size."""
    work, (fixed, *_) = results['work'], results['rows']
    header = ['sizes', 'images/s', 'Mpixel/s', 's an epoch', 'of the fixed', 'steps', 'peak MB']
    names = {
        'fixed': f'fixed, {work["base"]} px x {work["batch_size"]}',
        'base': "drawn, budget='base'",
        'max': "drawn, budget='max'",
    }
    rows = [
        [
            names[row['way']],
            f'{row["images_per_second"]:.2f}',
            f'{row["pixels_per_second"] / 1e6:.3f}',
            f'{row["epoch_seconds"]:.1f}',
            f'{row["epoch_seconds"] / fixed["epoch_seconds"]:.0%}',
            f'{row["steps"]:.0f}',
            f'{row["peak_mb"]:.0f}',
        ]
        for row in results['rows']
    ]
    return '\n\n'.join(
        [
            table(header, rows),
            machine_line(results),
            f'{results["config"]} trained on {work["images"]} sample pictures, fp32; medians of '
            f'{work["turns"]} processes in turns, the second epoch of each; peak: of the process. '
            'A short last batch is filled, so that a few pictures come twice.',
        ]
    )
