"""Training in batches of several sizes: the three tasks, epochs of several lengths, resuming."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fastvit_dense import engine
from fastvit_dense.engine.multi_scale import (
    MultiScaleBatchSampler,
    check_sampled_sizes,
)
from fastvit_dense.engine.seeding import SeededSampler
from fastvit_dense.errors import ConfigError, Stopped
from tests.engine.small import Numbers, assert_same_end, small_config, small_runner
from tests.engine.test_signals import NO_VALIDATION, signalled
from tests.engine.test_training import assert_same_training
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
SIZES = dict(base_size=(64, 64), min_size=64, max_size=128, num_scales=3)
# where each task's pipeline says a size, with the sampler's words, and what else it needs
RESIZE = dict(type='Resize', scale=('width', 'height'), keep_ratio=False)
WITH_SIZES = {
    'instance': ({'RandomChoiceResize': RESIZE}, {}),
    'semantic': (
        {
            'RandomResize': dict(scale=(10**5, 'height')),
            'RandomCrop': dict(crop_size=('height', 'width')),
        },
        dict(
            sampler=dict(_delete_=True, type='SeededSampler', shuffle=True),
            model=dict(data_preprocessor=dict(size=None, size_divisor=32)),
        ),
    ),
    'hand': ({'RandomHandCrop': dict(size='height')}, dict(drop_last=False)),
}


@HOOKS.register_module()
class KeepSizes(Hook):
    """Keeps the shapes of all batches, and what the model sees of them."""

    shapes: list = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        seen = runner.model.data_preprocessor(data_batch, True)['inputs'].shape
        self.shapes.append((runner.epoch, tuple(seen)))


def with_sizes(task, config, folder, batch_size, **sizes):
    """A config of somebody who adds the sampler to one of ours."""
    cfg = Config.fromfile(config)
    replaced, others = WITH_SIZES[task]
    pipeline = []
    for step in cfg.train_dataloader.dataset.pipeline:
        if new := replaced.get(step['type']):
            new = new if 'type' in new else {**step, **new}
            step = dict(type='AtSampledSize', transforms=[dict(new)])
        pipeline.append(dict(step))
    others = dict(others)
    model = others.pop('model', {})
    loader = dict(
        batch_size=batch_size,
        batch_sampler=dict(type='MultiScaleBatchSampler', **{**SIZES, **sizes}),
        dataset=dict(pipeline=pipeline),
        **others,
    )
    hooks = [*map(dict, cfg.custom_hooks), dict(type='KeepSizes')]
    path = folder / f'sized_{task}.py'
    path.write_text(
        f'_base_ = {str(config)!r}\ntrain_dataloader = {loader}\nmodel = {model}\n'
        f'custom_hooks = {hooks}\n'
    )
    return path


@pytest.fixture(autouse=True)
def shapes(monkeypatch):
    """What `KeepSizes` keeps."""
    kept: list = []
    monkeypatch.setattr(KeepSizes, 'shapes', kept)
    return kept


def planned(count, batch_size, seed, epochs, **sizes):
    """(epoch, shape of the batch) of every step."""
    sampler = MultiScaleBatchSampler(
        SeededSampler(range(count), seed=seed), batch_size, **{**SIZES, **sizes}
    )
    return [
        (epoch, (len(indices), 3, height, width))
        for epoch in range(epochs)
        for height, width, indices in sampler.plan(epoch)
    ]


def seed_of(config):
    return Config.fromfile(config).randomness.seed


# --- epochs of several lengths -------------------------------------------------------------------


FEW = dict(base_size=(64, 64), min_size=64, max_size=96, num_scales=2, budget='max')


def small(folder):
    """The runner of tests/engine/small.py for five epochs, of batches of two or four samples."""
    loader = dict(
        batch_size=2,
        num_workers=0,
        dataset=Numbers(),
        sampler=dict(type='SeededSampler', shuffle=True),
        batch_sampler=dict(type='MultiScaleBatchSampler', **FEW),
    )
    return small_runner(
        small_config(folder),
        train_dataloader=loader,
        train_cfg=dict(type='ResumableEpochLoop', max_epochs=5),
        randomness=dict(seed=42),
    )


def test_steps_in_all_are_those_of_the_plans(tmp_path):
    """Of epochs of two and three steps, and the same from a checkpoint between two of them."""
    plans = [epoch for epoch, _ in planned(6, 2, 42, 5, **FEW)]
    steps = [plans.count(epoch) for epoch in range(5)]
    assert set(steps) == {2, 3}
    whole = small(tmp_path / 'whole')
    whole.train()
    assert whole.iter == whole.max_iters == sum(steps)
    part = small(tmp_path / 'part')
    part.register_hook(StopAfter(), priority='LOWEST')
    part.train()
    assert part.iter == sum(steps[:3])
    rest = small(tmp_path / 'part')
    rest.train()
    assert rest.iter == sum(steps)
    assert_same_end(tmp_path / 'whole', tmp_path / 'part')


class StopAfter(Hook):
    """Ends training after its third epoch, as early stopping does."""

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = runner.epoch == 2


# --- the three tasks -----------------------------------------------------------------------------


def test_instances_stopped_within_an_epoch(tiny_instance, tmp_path, shapes, capfd):
    """The sizes are the plan's, and what is resumed ends as what was not stopped does."""
    options = ['train_cfg.max_epochs=2', 'train_cfg.val_interval=2', *NO_VALIDATION]
    config = with_sizes('instance', tiny_instance, tmp_path, 1, budget='max')
    steps = planned(6, 1, seed_of(tiny_instance), 2, budget='max')
    engine.train(config, cfg_options=options, work_dir=tmp_path / 'whole')
    assert shapes == steps
    assert {shape for _, shape in shapes} == {(4, 3, 64, 64), (1, 3, 96, 96), (1, 3, 128, 128)}
    first = sum(epoch == 0 for epoch, _ in steps)
    assert first != len(steps) - first  # epochs of two lengths
    shapes.clear()
    stopped = signalled(config, tmp_path, 'SIGTERM', step=first + 2)
    with pytest.raises(Stopped, match=f'after step {first + 2} of {len(steps)}'):
        engine.train(stopped, cfg_options=options, work_dir=tmp_path / 'run')
    engine.train(config, cfg_options=options, work_dir=tmp_path / 'run', resume='auto')
    assert shapes == steps
    assert_same_training(tmp_path / 'whole/epoch_2.pth', tmp_path / 'run/epoch_2.pth')
    assert 'starts anew' not in capfd.readouterr().out


def test_semantic_in_steps(tiny_semantic, tmp_path, shapes):
    """mmengine's loop of iterations goes from epoch to epoch of the sampler."""
    config = with_sizes('semantic', tiny_semantic, tmp_path, 2)
    engine.train(config, cfg_options=NO_VALIDATION, work_dir=tmp_path / 'run')
    steps = [shape for _, shape in planned(6, 2, seed_of(tiny_semantic), 4)]
    assert [shape for _, shape in shapes] == steps[:4]
    assert len(set(shapes)) > 1


def test_hands(tiny_hand, tmp_path, shapes):
    options = ['train_cfg.max_epochs=2', 'train_dataloader.dataset.indices=8', *NO_VALIDATION]
    config = with_sizes('hand', tiny_hand, tmp_path, 2, budget='max')
    engine.train(config, cfg_options=options, work_dir=tmp_path / 'run')
    assert shapes == planned(8, 2, seed_of(tiny_hand), 2, budget='max')
    assert len({shape for _, shape in shapes}) > 1


# --- configs that would undo the sizes -----------------------------------------------------------


@pytest.mark.parametrize(
    ('change', 'facts'),
    [
        (
            lambda cfg: cfg.train_dataloader.dataset.pipeline.pop(0),
            ('train_dataloader.dataset.pipeline', 'SeedSample'),
        ),
        (
            lambda cfg: cfg.train_dataloader.dataset.update(pipeline=[dict(type='SeedSample')]),
            ('train_dataloader.dataset.pipeline', 'AtSampledSize'),
        ),
        (
            lambda cfg: cfg.train_dataloader.update(drop_last=True),
            ('train_dataloader.drop_last', False, True),
        ),
        (
            lambda cfg: cfg.model.data_preprocessor.update(size=(512, 512)),
            ('model.data_preprocessor.size', None, (512, 512), 'size_divisor=32'),
        ),
    ],
)
def test_configs_that_undo_the_sizes(tiny_semantic, tmp_path, change, facts):
    path = with_sizes('semantic', tiny_semantic, tmp_path, 2)
    cfg = Config.fromfile(path)
    check_sampled_sizes(cfg)
    change(cfg)
    with raises_naming(ConfigError, Path(path).name, *facts) as error:
        check_sampled_sizes(cfg)
    assert '\n' not in str(error.value)
    cfg.train_dataloader.pop('batch_sampler')
    check_sampled_sizes(cfg)  # without the sampler nothing of it matters
