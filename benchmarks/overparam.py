"""The price and the worth of FastViT's train-time branches (paper section 3.2, Table 3)."""

from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.machine import BenchmarkError, describe_machine, wait_for
from benchmarks.networks import Schedule, height_and_width
from benchmarks.soak import train_and_test
from benchmarks.tables import machine_line, number, rounds_of
from benchmarks.timing import Timing, time_in_turns
from fastvit_dense.backbones.fastvit import FastViT
from fastvit_dense.backbones.variants import VARIANTS
from fastvit_dense.evaluation.report.tables import table

PAPER = {'sa12': 33.4 / 31.3 - 1, 'sa36': 76.7 / 73.5 - 1}  # hours with and without, Table 3
FORMS = {'with': True, 'without': False}


def benchmark_overparam(
    archs: Sequence[str],
    schedule: Schedule,
    *,
    seeds: Sequence[int] = (),
    config: str = 'semfpn_fastvit_t8',
    cfg_options: Iterable[str] = (),
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time training steps with the branches and without, in turns; and what the branches buy.

    Args:
        archs: Variants.
        schedule: Sizes, batch sizes, device, and how long for each variant.
        seeds: Of trainings on the sample data, with and without each; none: they are left out.
        config: Of these trainings.
        cfg_options: `key=value` strings for them.
        progress: Called with lines to show.

    Returns:
        JSON-able: `machine`, `rows` (one for each variant, size and batch size: parameters,
        seconds of a step, `more_time`, the share that the branches add, by round, with its
        quartiles, and the paper's) and `trainings` (seed, form, metrics).
    """
    schedule.check()
    unknown = [arch for arch in archs if arch not in VARIANTS]
    if unknown:
        raise BenchmarkError(f'unknown variant {unknown[0]!r}, known are {", ".join(VARIANTS)}')
    machine = describe_machine(schedule.device)
    rows = []
    for arch in archs:
        for size in schedule.sizes:
            for batch_size in schedule.batch_sizes:
                progress(f'{arch}, {size}, batch {batch_size}')
                shape = batch_size, 3, *height_and_width(size)
                rows.append(_compare(arch, shape, schedule))
    trainings = []
    for seed in seeds:
        for form in FORMS:
            progress(f'{config}, seed {seed}, {form}')
            trainings.append(_train(config, seed, form, list(cfg_options)))
    return {'machine': machine, 'rows': rows, 'config': config, 'trainings': trainings}


def make_step(
    arch: str, overparameterized: bool, shape: tuple[int, ...], device: str
) -> tuple[nn.Module, Callable[[], object]]:
    """Prepare a training step of a classifier of 1,000 classes: AdamW, one batch in memory.

    Returns:
        The network, and the step, which returns its loss once the work is done.
    """
    torch.manual_seed(0)
    last = len(VARIANTS[arch].layers) - 1
    backbone = FastViT(
        arch, out_indices=(last,), out_norm=None, overparameterized=overparameterized
    )
    head = nn.Linear(backbone.out_channels[0], 1000)
    network = nn.ModuleList([backbone, head]).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    images = torch.randn(shape, device=device)
    labels = torch.arange(shape[0], device=device) % 1000

    def step() -> object:
        optimizer.zero_grad()
        (features,) = backbone(images)
        loss = F.cross_entropy(head(features.mean((2, 3))), labels)
        loss.backward()
        optimizer.step()
        wait_for(device)
        return loss.detach()

    return network, step


def _compare(arch: str, shape: tuple[int, ...], schedule: Schedule) -> dict[str, Any]:
    row: dict[str, Any] = {'arch': arch, 'size': list(shape[2:]), 'batch_size': shape[0]}
    steps = {}
    for form, overparameterized in FORMS.items():
        network, steps[form] = make_step(arch, overparameterized, shape, schedule.device)
        row[f'parameters_{form}'] = sum(p.numel() for p in network[0].parameters())
    timings = time_in_turns(steps, rounds=schedule.rounds, seconds=schedule.seconds)
    for form, timing in timings.items():
        row[f'seconds_{form}'] = timing.median
    ratio = timings['without'].times_faster_than(timings['with'])
    more = Timing(tuple(value - 1 for value in ratio.rounds))
    row |= {'more_time': more.median, 'quartiles': list(more.quartiles), 'paper': PAPER.get(arch)}
    return row | {'rounds': list(more.rounds)}


def _train(config: str, seed: int, form: str, cfg_options: list[str]) -> dict[str, Any]:
    options = [f'randomness.seed={seed}', f'model.backbone.overparameterized={FORMS[form]}']
    options.append('train_cfg.val_interval=1000')  # the test at the end is the same data
    report = train_and_test(config, True, options + cfg_options)
    return {'seed': seed, 'form': form, 'metrics': report['metrics']}


def overparam_table(results: dict[str, Any]) -> str:
    """Time of the steps, and the numbers of the trainings with their spread over the seeds."""
    header = ['backbone', 'size', 'batch', *(f'params M {form}' for form in FORMS)]
    header += [*(f'ms {form}' for form in FORMS), 'more time', 'quartiles', 'paper']
    rows = [
        [
            *(row['arch'], 'x'.join(map(str, row['size'])), row['batch_size']),
            *(number(row[f'parameters_{form}'], '.3f', 1e-6) for form in FORMS),
            *(number(row[f'seconds_{form}'], '.1f', 1e3) for form in FORMS),
            number(row['more_time'], '.1%'),
            ' to '.join(f'{value:.1%}' for value in row['quartiles']),
            number(row['paper'], '.1%'),
        ]
        for row in results['rows']
    ]
    parts = [
        table(header, rows),
        machine_line(results),
        f'Training steps of a classifier, fp32; medians of {rounds_of(results)} rounds in turns; '
        'more time: what the branches add, by round.',
    ]
    if results['trainings']:
        parts.append(_training_table(results))
    return '\n\n'.join(parts)


def _training_table(results: dict[str, Any]) -> str:
    names = list(results['trainings'][0]['metrics'])[:4]
    rows = []
    for form in FORMS:
        runs = [run['metrics'] for run in results['trainings'] if run['form'] == form]
        cells = [[run[name] for run in runs] for name in names]
        rows.append([form, len(runs), *(f'{mean(c):.4g} ± {np.std(c):.2g}' for c in cells)])
    caption = f'{results["config"]} on its sample data: mean and deviation over the seeds.'
    return table(['branches', 'seeds', *names], rows) + f'\n\n{caption}'
