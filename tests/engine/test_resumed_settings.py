"""Resumed with another config, a run has the rates of one that had it from the start."""

import pytest
from mmengine.hooks import Hook

from .small import checkpoints, small_config, small_runner

pytestmark = pytest.mark.usefixtures('quick_logs')
# two steps an epoch
WARM_AND_DROP = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
    dict(type='MultiStepLR', milestones=[2, 3], by_epoch=True, begin=0, end=4),
]
DECAY = [dict(type='PolyLR', power=0.9, begin=0, end=8, by_epoch=False)]


class Rates(Hook):
    """The rate of each step."""

    def __init__(self):
        self.seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen[runner.iter] = runner.optim_wrapper.get_lr()['lr'][0]


class Validated(Hook):
    """The steps after which there was a validation."""

    def __init__(self):
        self.after = []

    def before_val(self, runner):
        self.after.append(runner.iter)


def run(folder, epochs, **settings):
    """Train, or go on; the rates by step, and what the log warned of."""
    runner = small_runner(small_config(folder), epochs, **settings)
    rates, warnings = Rates(), []
    runner.register_hook(rates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.logger, 'log', lambda level, text: warnings.append(text))
        patch.setattr(runner.logger, 'warning', warnings.append)
        runner.train()
    return rates.seen, [text for text in warnings if text.startswith('--resume')]


def adamw(**settings):
    return dict(optimizer=dict(type='AdamW', **{'lr': 0.1, **settings}))


@pytest.mark.parametrize('schedule', [WARM_AND_DROP, DECAY])
@pytest.mark.parametrize('first', [1, 2, 3])
def test_a_longer_run_follows_its_own_schedule(tmp_path, schedule, first):
    """mmengine would go on at the rate that the first part ended with."""
    whole, _ = run(tmp_path / 'whole', 4, param_scheduler=schedule)
    short = [{**DECAY[0], 'end': 2 * first}]
    run(tmp_path / 'part', first, param_scheduler=short)
    rates, warnings = run(tmp_path / 'part', 4, param_scheduler=schedule)
    assert sorted(rates) == list(range(2 * first, 8))
    assert rates == pytest.approx({step: whole[step] for step in rates})
    assert len(warnings) == 1
    assert warnings[0].startswith('--resume: param_scheduler: as this config says, not as ')
    assert warnings[0].endswith(', there 0')


def test_a_new_rate_and_decay(tmp_path):
    run(tmp_path, 2, optim_wrapper=adamw())
    rates, (warning,) = run(tmp_path, 4, optim_wrapper=adamw(lr=0.02, weight_decay=0.5))
    assert rates[4] == pytest.approx(0.01)  # half of a cosine over 4 epochs
    assert warning.startswith('--resume: lr, param_scheduler, weight_decay: as this config says')
    group = checkpoints(tmp_path)['epoch_4.pth']['optimizer']['param_groups'][0]
    assert group['weight_decay'] == 0.5
    assert group['initial_lr'] == 0.02


@pytest.mark.parametrize('schedule', [WARM_AND_DROP, DECAY, None])
def test_a_new_rate_under_any_schedule(tmp_path, schedule):
    whole, _ = run(tmp_path / 'whole', 4, param_scheduler=schedule, optim_wrapper=adamw(lr=0.02))
    run(tmp_path / 'part', 2, param_scheduler=schedule)
    rates, _ = run(tmp_path / 'part', 4, param_scheduler=schedule, optim_wrapper=adamw(lr=0.02))
    assert rates == pytest.approx({step: whole[step] for step in rates})


@pytest.mark.parametrize('schedule', [WARM_AND_DROP, DECAY])
def test_the_same_config_is_no_change(tmp_path, schedule):
    """Nor is a run of the same schedule that fewer epochs cut off."""
    run(tmp_path, 2, param_scheduler=schedule)
    assert run(tmp_path, 4, param_scheduler=schedule)[1] == []


@pytest.mark.parametrize('first', [1, 2])
def test_epochs_of_another_length(tmp_path, first):
    """Steps are counted anew: a smaller batch makes more of them, done ones as well.

    After one epoch of three steps, the third could be one within the second epoch of two.
    """
    loader = small_runner(small_config(tmp_path), 4)._train_dataloader
    whole, _ = run(
        tmp_path / 'whole', 4, param_scheduler=DECAY, train_dataloader={**loader, 'batch_size': 3}
    )
    six = [{**DECAY[0], 'end': 12}]
    loader = {**loader, 'batch_size': 2}
    run(tmp_path / 'part', first, param_scheduler=six, train_dataloader=loader)
    validated = Validated()
    rates, warnings = run(tmp_path / 'part', 4, param_scheduler=DECAY, custom_hooks=[validated])
    assert rates == pytest.approx({step: whole[step] for step in range(2 * first, 8)})
    assert len(warnings) == 1
    assert validated.after == list(range(2 * first + 2, 9, 2)), 'what was validated stays so'


def test_a_best_checkpoint_goes_on_in_the_schedule_and_tells_what_it_lacks(tmp_path):
    """mmengine would start the schedule anew, warm-up and all, and say nothing."""
    whole, _ = run(tmp_path / 'whole', 4, param_scheduler=WARM_AND_DROP)
    run(tmp_path / 'first', 2, param_scheduler=WARM_AND_DROP)
    best = dict(resume=True, load_from=str(next((tmp_path / 'first').glob('best_*.pth'))))
    rates, warnings = run(tmp_path / 'other', 4, param_scheduler=WARM_AND_DROP, **best)
    assert rates == pytest.approx({step: whole[step] for step in (4, 5, 6, 7)})
    assert len(warnings) == 1
    assert 'holds no state of the optimizer' in warnings[0]
