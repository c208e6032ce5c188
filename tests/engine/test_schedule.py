"""Schedules of the shipped configs on runs of other lengths, by the rates that mmengine gives."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from fastvit_dense.config.reading import CONFIGS
from fastvit_dense.engine.build import build_runner
from fastvit_dense.engine.schedule import (
    HAND,
    INSTANCE,
    SEMANTIC,
    SHIPPED,
    _plain,
    fit_schedule,
    fitted_schedule,
)
from fastvit_dense.tasks.config import load_config

pytestmark = pytest.mark.integration


def rates(entries, steps, per_epoch=None):
    """Learning rate of each step, as a share of the highest, from mmengine's own schedulers."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = OptimWrapper(torch.optim.SGD([parameter], lr=1.0))
    built = []
    for entry in entries:
        kind = PARAM_SCHEDULERS.get(entry['type'])
        given = {k: v for k, v in entry.items() if k not in ('type', 'convert_to_iter_based')}
        if entry.get('convert_to_iter_based'):
            built.append(
                kind.build_iter_from_epoch(optimizer=optimizer, epoch_length=per_epoch, **given)
            )
        else:
            built.append(kind(optimizer=optimizer, **given))
    found = []
    for step in range(steps):
        found.append(optimizer.get_lr()['lr'][0])
        for scheduler in built:
            if not scheduler.by_epoch or (step + 1) % per_epoch == 0:
                scheduler.step()
    return found


def test_the_schedules_are_those_of_the_shipped_configs():
    found = [load_config(path, pretrained=False) for path in sorted(Path(CONFIGS).glob('*.py'))]
    assert len(found) > 20
    assert all(_plain(cfg.param_scheduler) in SHIPPED for cfg in found)


def test_the_papers_runs_are_unchanged():
    assert fitted_schedule(INSTANCE, 12 * 7330, 12) == INSTANCE
    assert fitted_schedule(SEMANTIC, 40000, None) == SEMANTIC
    assert fitted_schedule(HAND, 100 * 966, 100) == HAND


def test_sixty_pictures():
    """12 epochs of 30 steps: full rate after a tenth, drops after epochs 8 and 11."""
    entries = fitted_schedule(INSTANCE, 360, 12)
    found = rates(entries, 360)
    assert found[0] == pytest.approx(0.001)
    assert found[35:240] == pytest.approx([1.0] * 205)
    assert found[240:330] == pytest.approx([0.1] * 90)
    assert found[330:] == pytest.approx([0.01] * 30)
    # as it was: at the end of the run the warm-up still goes on
    assert rates(INSTANCE, 360, 30)[-1] < 0.01


def test_fifty_epochs():
    """The drops stay at two thirds and eleven twelfths of the run; the warm-up is short enough."""
    found = rates(fitted_schedule(INSTANCE, 50 * 1000, 50), 50 * 1000)
    assert found[498] < found[499] == pytest.approx(1.0)
    drops = [i for i in range(500, 50000) if not math.isclose(found[i], found[i - 1])]
    assert drops == [33333, 45833]


@pytest.mark.parametrize('epochs', [24, 36])
def test_longer_runs_drop_where_twice_and_three_times_the_schedule_do(epochs):
    entries = fitted_schedule(INSTANCE, epochs * 7330, epochs)
    factor = epochs // 12
    assert entries[1]['milestones'] == [8 * factor * 7330, 11 * factor * 7330]


def test_decay_ends_with_the_run():
    entries = fitted_schedule(SEMANTIC, 1000, None)
    found = rates(entries, 1000)
    assert found[0] == 1.0
    assert found[500] == pytest.approx(0.5**0.9, rel=1e-2)
    assert found[-1] < 0.01


@pytest.mark.parametrize(('epochs', 'per_epoch'), [(10, 50), (1, 40), (300, 8)])
def test_hands(epochs, per_epoch):
    steps = epochs * per_epoch
    found = rates(fitted_schedule(HAND, steps, epochs), steps)
    highest = max(range(steps), key=found.__getitem__)
    assert found[highest] == pytest.approx(1.0, rel=1e-3)
    assert highest <= math.ceil(0.1 * steps)
    assert found[-1] < 0.05
    assert all(a >= b for a, b in zip(found[highest:], found[highest + 1 :], strict=False))


@pytest.mark.parametrize('entries', SHIPPED)
@pytest.mark.parametrize('steps', [1, 2, 3, 19, 20, 31])
def test_a_few_steps(entries, steps):
    """No division by the length of nothing, and most steps near the highest rate or after it."""
    found = rates(fitted_schedule(entries, steps, 1), steps)
    assert max(found) > 0.9
    assert all(math.isfinite(rate) and rate >= 0 for rate in found)


@pytest.fixture(scope='module')
def runner(tiny_instance, tmp_path_factory):
    """A runner of one epoch of three steps."""
    cfg = load_config(tiny_instance, work_dir=tmp_path_factory.mktemp('schedule'))
    return build_runner(cfg, ('train_dataloader',))


def test_a_run_says_so(runner, logged):
    runner.param_schedulers = INSTANCE
    fit_schedule(runner)
    (line,) = [line for line in logged if 'param_scheduler' in line]
    assert 'made for warm-up of 500 steps, drops after 8 and 11 of 12 epochs' in line
    assert 'fitted to this run of 1 epochs, 3 steps: drops after 2 and 3 of 3 steps' in line
    assert runner.param_schedulers[-1]['milestones'] == [2, 3]


def test_ones_own_is_left_alone(runner, logged):
    runner.param_schedulers = [{**INSTANCE[0], 'end': 400}, INSTANCE[1]]
    fit_schedule(runner)
    assert runner.param_schedulers[0]['end'] == 400
    runner.param_schedulers = INSTANCE
    fit_schedule(runner, ['train_cfg.max_epochs=1', 'param_scheduler.0.end=500'])
    assert _plain(runner.param_schedulers) == INSTANCE
    runner.param_schedulers = None
    fit_schedule(runner)
    assert not [line for line in logged if 'param_scheduler' in line]
