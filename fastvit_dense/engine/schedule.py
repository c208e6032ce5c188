"""Learning rate schedules of the shipped configs, fitted to a run of another length.

The papers' schedules are made for their own data: 500 steps of warm-up, and drops after 8 and 11
of 12 epochs. On 60 pictures such a warm-up never ends, and a run of 50 epochs would spend 39 of
them at the lowest rate.
"""

import copy
from collections.abc import Iterable, Sequence

from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner

WARMUP_SHARE = 0.1  # of a run, at most
# `param_scheduler` of the shipped configs; another one is somebody's own and stays as it is
INSTANCE = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
SEMANTIC = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=40000, by_epoch=False)]
HAND = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        begin=0,
        end=2,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=5e-6,
        begin=2,
        end=100,
        T_max=98,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
# of configs/finetune, for small data: of any length, this one stands for
FINETUNE = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=500, end=10000, T_max=9500),
]
SSDLITE = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=0, end=200, T_max=200),
]
RANGE_AUGMENT = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=100, by_epoch=True, milestones=[60, 84], gamma=0.1),
]
DEEPLABV3_VOC = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=500, end=4150, T_max=3650),
]
DEEPLABV3_ADE20K = [
    dict(type='CosineAnnealingLR', eta_min=1e-4, by_epoch=False, begin=0, end=63000, T_max=63000),
]
SHIPPED = (
    INSTANCE,
    SEMANTIC,
    HAND,
    FINETUNE,
    SSDLITE,
    RANGE_AUGMENT,
    DEEPLABV3_VOC,
    DEEPLABV3_ADE20K,
)


def fit_schedule(runner: Runner, cfg_options: Iterable[str] = ()) -> None:
    """Fit the schedule of a runner that has not trained yet to the length of its run; log it.

    A `param_scheduler` of one's own, in a config or among the options, is left alone.

    Args:
        runner: With `param_schedulers` as in the config.
        cfg_options: `key=value` strings that were applied to the config.
    """
    entries = _plain(runner.param_schedulers)
    chosen = any(option.startswith('param_scheduler') for option in cfg_options)
    if chosen or entries not in SHIPPED:
        return
    loop = runner.train_loop
    epochs = loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else None
    fitted = fitted_schedule(entries, loop.max_iters, epochs)
    if fitted != entries:
        runner.param_schedulers = fitted
        print_log(
            f'param_scheduler: made for {_describe(entries)}; fitted to this run of '
            f'{_length(loop.max_iters, epochs)}: {_describe(fitted)}; a param_scheduler of your '
            'own is not changed',
            'current',
        )


def fitted_schedule(entries: Sequence[dict], steps: int, epochs: int | None) -> list[dict]:
    """Stretch or shrink a shipped schedule to the length of a run, counted in steps.

    The warm-up keeps its length, but takes a tenth of the run at most; everything after it keeps
    its place in proportion. Where both fit as they are, the entries are returned unchanged.

    Args:
        entries: One of `SHIPPED`.
        steps: Length of the run.
        epochs: The same in epochs; None for a run that is counted in steps.
    """
    per_epoch = steps / epochs if epochs else None
    *warmups, main = entries
    made_for = main['end']
    fits = epochs == made_for if main['by_epoch'] else steps == made_for
    longest = int(WARMUP_SHARE * steps)
    if fits and all(_steps(w, per_epoch) <= longest for w in warmups):
        return list(entries)
    fitted = []
    start = 0
    for warmup in warmups:
        start = min(_steps(warmup, per_epoch), longest)
        if start > 1:  # of one step it has no slope
            fitted.append(_by_step(warmup, 0, start))
    main = _by_step(main, start if main['begin'] else 0, steps)
    if 'milestones' in main:
        main['milestones'] = [round(m / made_for * steps) for m in main['milestones']]
    if 'T_max' in main:
        main['T_max'] = steps - main['begin']
    return [*fitted, main]


def is_shipped(entries: object) -> bool:
    """Tell whether a `param_scheduler` is one that is fitted to the length of a run."""
    return _plain(entries) in SHIPPED


def _plain(entries: object) -> object:
    """The entries as plain dicts, without the scope that mmengine adds to those of a library."""
    if not isinstance(entries, list | tuple) or not all(isinstance(e, dict) for e in entries):
        return None
    return [
        {k: list(v) if isinstance(v, tuple) else v for k, v in e.items() if k != '_scope_'}
        for e in copy.deepcopy(list(entries))
    ]


def _steps(warmup: dict, per_epoch: float | None) -> int:
    """Length of a warm-up in steps; one of epochs has none in a run that is counted in steps."""
    if not warmup['by_epoch']:
        return int(warmup['end'])
    return round(warmup['end'] * per_epoch) if per_epoch else 10**9


def _by_step(entry: dict, begin: int, end: int) -> dict:
    """A copy of an entry, counted in steps."""
    entry = {k: v for k, v in entry.items() if k != 'convert_to_iter_based'}
    return {**entry, 'by_epoch': False, 'begin': begin, 'end': end}


def _describe(entries: Sequence[dict]) -> str:
    parts = []
    for entry in entries:
        unit = 'epochs' if entry['by_epoch'] else 'steps'
        if entry['type'] == 'LinearLR':
            parts.append(f'warm-up of {entry["end"]} {unit}')
        elif 'milestones' in entry:
            drops = ' and '.join(map(str, entry['milestones']))
            parts.append(f'drops after {drops} of {entry["end"]} {unit}')
        else:
            parts.append(f'decay to {entry["end"]} {unit}')
    return ', '.join(parts)


def _length(steps: int, epochs: int | None) -> str:
    return f'{epochs} epochs, {steps} steps' if epochs else f'{steps} steps'
