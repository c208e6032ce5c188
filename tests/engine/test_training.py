"""Whole runs of training, and resuming, with small models on the CPU."""

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fastvit_dense import engine
from fastvit_dense.errors import CheckpointError, CheckpointMismatch, ConfigError
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
NO_VALIDATION = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')


# --- resuming ----------------------------------------------------------------------------------


@HOOKS.register_module()
class InterruptAfter(Hook):
    """Ctrl-C at the end of an iteration."""

    priority = 'LOWEST'

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iterations:
            raise KeyboardInterrupt


def interrupted_config(config, folder, iterations):
    """The same config but for the interruption."""
    path = folder / 'interrupted.py'
    hooks = [dict(type='SeedHook'), dict(type='InterruptAfter', iterations=iterations)]
    path.write_text(f'_base_ = {str(config)!r}\ncustom_hooks = {hooks}\n')
    return path


def assert_same_training(one, other):
    """Bit-identical weights, BatchNorm's statistics, state of optimiser and schedules."""
    one, other = (torch.load(path, weights_only=False) for path in (one, other))
    assert one['state_dict'].keys() == other['state_dict'].keys()
    for name, tensor in one['state_dict'].items():
        assert torch.equal(tensor, other['state_dict'][name]), name
    states = one['optimizer']['state'], other['optimizer']['state']
    assert states[0].keys() == states[1].keys()
    for key, state in states[0].items():
        for name, tensor in state.items():
            assert torch.equal(tensor, states[1][key][name]), (key, name)
    assert one['param_schedulers'] == other['param_schedulers']
    assert one['meta']['iter'] == other['meta']['iter']


@pytest.fixture(scope='module')
def interrupted(tiny_instance, two_epochs, tmp_path_factory):
    """Uninterrupted run of two epochs, and one that was interrupted within the second."""
    broken = tmp_path_factory.mktemp('broken')
    options = ['train_cfg.max_epochs=2', *NO_VALIDATION]
    torch.rand(7)
    config = interrupted_config(tiny_instance, broken, iterations=5)
    with pytest.raises(KeyboardInterrupt):
        engine.train(config, cfg_options=options, work_dir=str(broken))
    assert not (broken / 'epoch_2.pth').exists()
    return two_epochs, broken, options


def test_resumed_epochs_are_those_of_an_uninterrupted_run(tiny_instance, interrupted):
    whole, broken, options = interrupted
    torch.rand(11)
    engine.train(tiny_instance, cfg_options=options, work_dir=str(broken), resume='auto')
    assert_same_training(whole / 'epoch_2.pth', broken / 'epoch_2.pth')


@pytest.mark.slow  # test_signals resumes with a loading process, too
def test_resume_from_a_file_with_a_loading_process(tiny_instance, interrupted, tmp_path):
    """The same pictures, flips and sizes whatever the number of loading processes."""
    whole, broken, options = interrupted
    options = [*options, 'train_dataloader.num_workers=1']
    checkpoint = str(broken / 'epoch_1.pth')
    engine.train(tiny_instance, cfg_options=options, work_dir=str(tmp_path), resume=checkpoint)
    assert_same_training(whole / 'epoch_2.pth', tmp_path / 'epoch_2.pth')


@pytest.mark.parametrize('num_workers', [pytest.param(0, marks=pytest.mark.slow), 1])
def test_resumed_iterations(tiny_semantic, four_steps, tmp_path, num_workers):
    """Interrupted after the third of four iterations, resumed at the second."""
    options = [f'train_dataloader.num_workers={num_workers}', *NO_VALIDATION]
    config = interrupted_config(tiny_semantic, tmp_path, iterations=3)
    with pytest.raises(KeyboardInterrupt):
        engine.train(config, cfg_options=options, work_dir=str(tmp_path))
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_2.pth')
    torch.rand(5)
    engine.train(tiny_semantic, cfg_options=options, work_dir=str(tmp_path), resume='auto')
    assert_same_training(four_steps / 'iter_4.pth', tmp_path / 'iter_4.pth')


def test_another_seed_trains_another_model(tiny_semantic, four_steps, tmp_path):
    """The equalities above say something: another seed changes the weights."""
    options = ['randomness.seed=1', 'train_cfg.max_iters=2', *NO_VALIDATION]
    engine.train(tiny_semantic, cfg_options=options, work_dir=str(tmp_path))
    with pytest.raises(AssertionError):
        assert_same_training(four_steps / 'iter_2.pth', tmp_path / 'iter_2.pth')


def test_resume_without_a_checkpoint_starts_anew(tiny_semantic, four_steps, tmp_path, logged):
    """A folder without checkpoints: a line says so, and the run is the usual one."""
    options = ['train_cfg.max_iters=2', *NO_VALIDATION]
    engine.train(tiny_semantic, work_dir=str(tmp_path), cfg_options=options, resume='auto')
    assert_same_training(four_steps / 'iter_2.pth', tmp_path / 'iter_2.pth')
    assert any(f'no checkpoint in {tmp_path}' in line for line in logged)


def test_resume_from_nothing_and_from_what_does_not_fit(tiny_instance, trained, tmp_path):
    def resume(path, *options):
        engine.train(
            tiny_instance,
            cfg_options=[*NO_VALIDATION, *options],
            work_dir=str(tmp_path),
            resume=str(path),
        )

    with raises_naming(CheckpointError, tmp_path / 'epoch_9.pth', 'no such checkpoint file'):
        resume(tmp_path / 'epoch_9.pth')
    state = torch.load(trained, weights_only=False)['state_dict']
    path = tmp_path / 'weights.pth'
    torch.save(state, path)
    with raises_naming(CheckpointError, path, f'--cfg-options load_from={path}'):
        resume(path)
    with raises_naming(CheckpointMismatch, trained, 'backbone.stem'):
        resume(trained, 'model.backbone.arch=t12', 'model.neck.in_channels=[64,128,256,512]')


# --- settings ----------------------------------------------------------------------------------


def test_semantic_fpn_trains_without_sync_bn(trained_semantic):
    """Its config asks for SyncBN, which a CPU does not have."""
    text = torch.load(trained_semantic, weights_only=False)['meta']['cfg']
    cfg = Config.fromstring(text, '.py')
    assert cfg.model.decode_head.norm_cfg == dict(type='BN', requires_grad=True)


def test_amp_needs_a_gpu(tiny_instance, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with raises_naming(ConfigError, '--amp', 'GPU'):
        engine.train(tiny_instance, work_dir=str(tmp_path), amp=True)


def test_auto_scale_lr(tiny_semantic, tmp_path):
    """4 pictures at a time instead of 32: an eighth of the learning rate."""
    with raises_naming(
        ConfigError, tiny_semantic, '--auto-scale-lr', 'auto_scale_lr.base_batch_size'
    ):
        engine.train(
            tiny_semantic,
            cfg_options=['auto_scale_lr.base_batch_size=0'],
            work_dir=str(tmp_path),
            auto_scale_lr=True,
        )
    runner = engine.train(
        tiny_semantic,
        cfg_options=['train_cfg.max_iters=1', 'param_scheduler=None', *NO_VALIDATION],
        work_dir=str(tmp_path),
        auto_scale_lr=True,
    )
    (group,) = runner.optim_wrapper.param_groups
    assert math.isclose(group['lr'], 1e-3 / 8)
