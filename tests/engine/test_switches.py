"""The switches of `train`: what they do to a training, and that a resumed one goes on with them."""

from collections import Counter

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator

from fastvit_dense.checkpoints.config_text import parse_config_text
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.engine.accumulation import ENTRY
from fastvit_dense.engine.balancing import BalancedInfiniteSampler, BalancedSampler, repeated
from fastvit_dense.engine.switches import (
    EMA,
    left_out,
    use_accumulation,
    use_balance,
    use_early_stop,
    use_ema,
    use_logs,
    use_parts,
)
from fastvit_dense.errors import ConfigError, NonFiniteError

from .small import Numbers, Score, assert_same_end, small_config, small_runner

EARLY = dict(type='EarlyStopHook', monitor='score', rule='greater', patience=2, min_delta=1e-6)


def run(folder, epochs=4, hooks=(), **settings):
    """Train in a folder, or go on in it; the runner."""
    runner = small_runner(small_config(folder), epochs, hooks, **settings)
    runner.train()
    return runner


class Cut(Exception):
    """Where the first of two runs ends."""


def cut_and_resumed(folder, iteration, hooks, **settings):
    """The same training, ended after an iteration that a checkpoint was saved at, and resumed."""
    runner = small_runner(small_config(folder), 4, hooks, **settings)
    step = runner.train_loop.run_iter

    def run_iter(*arguments):
        if runner.iter == iteration:
            raise Cut
        step(*arguments)

    runner.train_loop.run_iter = run_iter
    with pytest.raises(Cut):
        runner.train()
    return run(folder, 4, hooks, **settings)


# --- averaged weights ---


def test_ema_is_the_mean_that_it_says(tmp_path):
    """Checkpoints hold the average, computed here from the weights after each step."""
    runner = small_runner(small_config(tmp_path), 4, [dict(EMA)])
    seen = []
    runner.register_hook(_Watch(seen), priority='VERY_HIGH')
    runner.train()
    average = seen[0]
    for step, weights in enumerate(seen[1:], 1):
        share = max(2e-4, 100 / (100 + step))
        average = average * (1 - share) + weights * share
    saved = load_checkpoint_file(tmp_path / 'epoch_4.pth')
    torch.testing.assert_close(saved['state_dict']['body.0.weight'], average)
    torch.testing.assert_close(saved['ema_state_dict']['module.body.0.weight'], seen[-1])


def _Watch(seen):
    from mmengine.hooks import Hook

    class Watch(Hook):
        def after_train_iter(self, runner, *_, **__):
            seen.append(runner.model.body[0].weight.detach().clone())

    return Watch()


@pytest.mark.parametrize(
    'hooks', [[dict(EMA)], [EARLY], [dict(EMA), EARLY, dict(type='AccumulationHook')]]
)
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(tmp_path, hooks):
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    settings = {}
    if len(hooks) == 3:  # three batches of gradients for a step: epochs of two end in between
        optimizer = dict(type='AdamW', lr=0.1)
        settings['optim_wrapper'] = dict(optimizer=optimizer, accumulative_counts=3)
    run(whole, hooks=hooks, **settings)
    cut_and_resumed(broken, 4, hooks, **settings)
    assert_same_end(whole, broken)
    for name in [path.name for path in whole.glob('*.pth')]:
        states = [load_checkpoint_file(f / name).get('ema_state_dict') for f in (whole, broken)]
        assert str(states[0]) == str(states[1])


def test_ema_does_not_hide_weights_that_run_away(tmp_path):
    optimizer = dict(type='SGD', lr=1e38)
    with pytest.raises(NonFiniteError):
        run(tmp_path, hooks=[dict(EMA)], optim_wrapper=dict(optimizer=optimizer))


def test_accumulation_keeps_what_waits(tmp_path):
    """Without the hook the gradients of the first half of a step are lost on resuming."""
    optimizer = dict(optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=3)
    hooks = [dict(type='AccumulationHook')]
    run(tmp_path / 'whole', hooks=hooks, optim_wrapper=optimizer)
    cut_and_resumed(tmp_path / 'lost', 4, [], optim_wrapper=optimizer)
    cut_and_resumed(tmp_path / 'kept', 4, hooks, optim_wrapper=optimizer)
    ends = {
        name: load_checkpoint_file(tmp_path / name / 'epoch_4.pth')['state_dict']['body.0.weight']
        for name in ('whole', 'lost', 'kept')
    }
    assert torch.equal(ends['whole'], ends['kept'])
    assert not torch.equal(ends['whole'], ends['lost'])
    end = load_checkpoint_file(tmp_path / 'kept' / 'epoch_4.pth')
    assert ENTRY not in end, 'the last step takes what there is'


# --- early stopping: the scores after epochs 1 to 4 are 0.3, 0.7, 0.5, 0.9 ---


def test_it_stops_after_so_many_validations(tmp_path):
    hook = {**EARLY, 'patience': 1}
    assert run(tmp_path / 'a', hooks=[hook]).epoch == 3
    assert run(tmp_path / 'b', hooks=[EARLY]).epoch == 4
    assert (tmp_path / 'a' / 'best_score_epoch_2.pth').is_file()
    assert run(tmp_path / 'a', hooks=[hook]).epoch == 3, 'resumed, it is still at its end'


def test_hooks_of_a_training_stand_a_test(tmp_path):
    """`test CONFIG CHECKPOINT` builds the config's hooks, too, and has no training loop."""
    hooks = [dict(EMA), EARLY, dict(type='AccumulationHook'), dict(type='BatchInPartsHook')]
    none = dict.fromkeys(('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'))
    cfg = small_config(tmp_path)
    score = Score()
    test = dict(
        test_dataloader=dict(
            batch_size=3, dataset=Numbers(), sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        test_cfg=dict(type='TestLoop'),
        test_evaluator=Evaluator(score),
    )
    runner = small_runner(cfg, 1, hooks, **none, **test)
    score.runner = runner
    runner.model.test_step = runner.model.val_step
    assert runner.test() == {'score': 0.0}


# --- settings of a config ---


def config(**more):
    """A config as far as the switches look at it."""
    content = dict(
        work_dir='runs/parts',
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=100, val_interval=10),
        train_dataloader=dict(batch_size=2, sampler=dict(type='SeededInfiniteSampler')),
        val_evaluator=dict(type='SemanticMetric'),
        optim_wrapper=dict(type='OptimWrapper'),
        auto_scale_lr=dict(base_batch_size=8),
        param_scheduler=[dict(type='PolyLR', by_epoch=False, begin=0, end=100)],
        default_hooks=dict(checkpoint=dict(by_epoch=False, interval=10, save_best='mIoU')),
    )
    return Config({**content, **more})


def test_accumulation_reaches_the_stated_batch():
    cfg = config()
    use_accumulation(cfg)
    assert cfg.optim_wrapper.accumulative_counts == 4
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (400, 40)
    assert (cfg.default_hooks.checkpoint.interval, cfg.param_scheduler[0].end) == (40, 400)
    cfg = config(train_cfg=dict(by_epoch=True, max_epochs=3))
    use_accumulation(cfg)
    assert cfg.train_cfg == dict(by_epoch=True, max_epochs=3)
    with pytest.raises(ConfigError, match='base_batch_size'):
        use_accumulation(config(auto_scale_lr=None))


def test_parts_are_a_hook_once():
    cfg = config()
    use_parts(cfg)
    use_parts(cfg)
    assert [hook.type for hook in cfg.custom_hooks] == ['BatchInPartsHook']


def test_a_switch_that_a_config_has_already_changes_nothing():
    cfg = config()
    use_ema(cfg)
    use_ema(cfg)
    use_early_stop(cfg)
    use_early_stop(cfg, 3)
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'EarlyStopHook']
    assert (cfg.custom_hooks[1].monitor, cfg.custom_hooks[1].patience) == ('mIoU', 3)
    with pytest.raises(ConfigError, match='save_best'):
        use_early_stop(config(default_hooks=dict(checkpoint=dict(save_best=None))))


def test_a_log_that_is_not_installed_is_one_line(monkeypatch):
    cfg = config()
    use_logs(cfg, ['tensorboard'])
    assert cfg.visualizer.vis_backends[0].type == 'TensorboardVisBackend'
    for name in ('wandb', 'mlflow'):
        with pytest.raises(ConfigError, match=f'pip install {name}'):
            use_logs(cfg, [name])


# --- balance ---


class Labelled:
    """A dataset of mmdet's form: 20 pictures of class 0, of which one has class 1, too."""

    def __len__(self):
        return 20

    def get_data_info(self, index):
        labels = [0, 1] if index == 7 else [0]
        ignored = [dict(bbox_label=2, ignore_flag=1)] if index == 9 else []
        return {'instances': [*(dict(bbox_label=n) for n in labels), *ignored]}


def test_rare_classes_are_shown_more_often():
    """The share of class 1 is 1/20: sqrt(0.3 * 20), rounded up, are 3 times."""
    assert Counter(repeated(Labelled())) == {**dict.fromkeys(range(20), 1), 7: 3}
    sampler = BalancedSampler(Labelled(), seed=3)
    first = list(sampler)
    assert len(first) == len(sampler) == 22
    assert Counter(map(int, first)) == {**dict.fromkeys(range(20), 1), 7: 3}
    assert len({index.key for index in first}) == 22, 'each time with random numbers of its own'
    assert [i.key for i in BalancedSampler(Labelled(), seed=3)] == [i.key for i in first]
    sampler.set_epoch(1)
    assert list(map(int, sampler)) != list(map(int, first))
    stream = iter(BalancedInfiniteSampler(Labelled(), seed=3))
    assert Counter(int(next(stream)) for _ in range(22))[7] == 3


def test_balance_goes_with_batches_of_one_orientation():
    """mmdet's batch sampler, which every detection config has, asks for the sizes of pictures."""
    from mmdet.datasets.samplers import AspectRatioBatchSampler

    class Sized(Labelled):
        def get_data_info(self, index):
            return {**super().get_data_info(index), 'width': 5 + index, 'height': 15}

    batches = list(AspectRatioBatchSampler(BalancedSampler(Sized(), seed=3), batch_size=2))
    assert Counter(index for batch in batches for index in batch)[7] == 3
    mixed = [batch for batch in batches if len({index < 10 for index in batch}) > 1]
    assert len(mixed) <= 1, 'but for the last one, of what is left'


def test_balance_is_one_switch():
    cfg = config()
    use_balance(cfg)
    assert cfg.train_dataloader.sampler.type == 'BalancedInfiniteSampler'
    with pytest.raises(ConfigError, match='--balance'):
        use_balance(config(train_dataloader=dict(sampler=dict(type='DefaultSampler'))))


def test_switches_that_a_resumed_run_lacks_are_named():
    """Those that a config of its own sets, and new ones, are no loss."""
    trained = config()
    use_accumulation(trained)
    use_balance(trained)
    use_early_stop(trained)
    trained.optim_wrapper.type = 'AmpOptimWrapper'
    stored = parse_config_text(trained.pretty_text)
    every = ['--accumulate', '--amp', '--balance', '--early-stop']
    assert left_out(config(), stored) == every
    assert left_out(trained, stored) == []
    assert left_out(trained, parse_config_text(config().pretty_text)) == []
    assert left_out(trained, {}) == []
    more = config(train_dataloader=dict(batch_size=8, sampler=dict(type='SeededSampler')))
    use_accumulation(more)  # on as many processes, or of as large a batch, as are stated
    assert left_out(more, stored) == every[1:]


# --- TensorBoard ---


def test_tensorboard_has_the_numbers_of_the_training(tmp_path):
    """Losses of every step and the scores, read from the files by TensorBoard's own reader."""
    event_accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator'
    )
    cfg = config()
    use_logs(cfg, ['tensorboard'])
    settings = dict(
        visualizer=dict(**cfg.visualizer, name='curves'),
        log_processor=dict(window_size=1),
    )
    hooks = small_config(tmp_path).default_hooks.to_dict()
    hooks['logger'] = dict(type='LoggerHook', interval=1)
    runner = small_runner(small_config(tmp_path), 2, default_hooks=hooks, **settings)
    losses = []
    runner.register_hook(_Losses(losses), priority='VERY_HIGH')
    runner.train()
    (file,) = tmp_path.rglob('events.out.tfevents.*')
    events = event_accumulator.EventAccumulator(str(file)).Reload()
    read = [event.value for event in events.Scalars('loss_a')]
    assert read == pytest.approx(losses)
    assert [event.value for event in events.Scalars('score')] == pytest.approx([0.3, 0.7])


def _Losses(seen):
    from mmengine.hooks import Hook

    class Losses(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append(outputs['loss_a'].item())

    return Losses()
