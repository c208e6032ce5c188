"""NaN and Inf, by real steps of a small model: where training stops, what it tells and keeps."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from fastvit_dense.engine.non_finite import NonFiniteHook, _all_agree, files_of
from fastvit_dense.engine.seeding import random_states
from fastvit_dense.errors import NonFiniteError
from tests.disk import in_a_process, small_disk
from tests.facts import assert_names, raises_naming

from .small import checkpoints, small_config, small_runner


class Spoil(Hook):
    """Multiply the loss, from one iteration on."""

    def __init__(self, iteration, factor, once=True):
        self.iteration, self.factor, self.once = iteration, factor, once

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        hit = runner.iter + 1 == self.iteration or (
            not self.once and runner.iter + 1 >= self.iteration
        )
        runner.model.scale = self.factor if hit else 1.0


def runner_of(tmp_path, max_skipped=0, hooks=(), **settings):
    cfg = small_config(tmp_path / 'run')
    cfg.default_hooks.non_finite = dict(type='NonFiniteHook', max_skipped=max_skipped)
    return small_runner(cfg, hooks=hooks, **settings)


def replay(path):
    """(what was kept, loss of the step done again)."""
    kept = torch.load(path, weights_only=False)
    runner = small_runner(small_config(path.parent / 'again'))
    runner.model.load_state_dict(kept['state_dict'])
    random.setstate(kept['random']['python'])
    np.random.set_state(kept['random']['numpy'])
    torch.set_rng_state(kept['random']['torch'])
    return kept, runner.model.train()(**kept['batch'], mode='loss')['loss_a']


@pytest.mark.parametrize('factor', [float('nan'), float('inf')])
def test_loss(tmp_path, factor):
    runner = runner_of(tmp_path, hooks=[Spoil(4, factor)])
    path = tmp_path / 'run/non_finite_iter_4.pt'
    facts = ('iteration 4', f'the loss is {factor}', f'loss_a {factor}', 'lr 0.', path)
    with raises_naming(NonFiniteError, *facts) as error:
        runner.train()
    assert '\n' not in str(error.value)
    assert 'acc' not in str(error.value)
    kept, loss = replay(path)
    assert kept['iter'] == 3
    state = runner.model.state_dict()
    assert all(tensor.isfinite().all() for tensor in kept['state_dict'].values())
    assert torch.equal(kept['state_dict']['body.0.weight'], state['body.0.weight'])  # no step
    assert loss.isfinite()  # of which `scale`, that is not kept, made what it was
    assert [*checkpoints(tmp_path / 'run')] == ['best_score_epoch_1.pth', 'epoch_1.pth']


def test_the_same_step_again(tmp_path):
    """A rate that is absurd: the second loss overflows, and does so again, to the last bit."""
    runner = runner_of(tmp_path, optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e25)))
    with raises_naming(NonFiniteError, 'iteration 2', 'loss_a', 'lr') as error:
        runner.train()
    kept, loss = replay(tmp_path / 'run/non_finite_iter_2.pt')
    assert not loss.isfinite()
    assert_names(error.value, f'loss_a {loss.item():.6g}')
    assert kept['optimizer']['param_groups'][0]['lr'] == 1e25
    assert not checkpoints(tmp_path / 'run')


def add_steep_loss(model, _, losses):
    """A loss of 0 whose gradient is NaN: the slope of a square root at nothing."""
    return losses | {'loss_b': (model.body[0].weight * 0).square().sum().sqrt()}


def test_gradient(tmp_path):
    runner = runner_of(tmp_path)
    runner.model.register_forward_hook(add_steep_loss)
    with raises_naming(
        NonFiniteError,
        'iteration 1',
        'the gradient norm is nan',
        'loss_b 0',
        'non_finite_iter_1.pt',
    ):
        runner.train()


def test_weight(tmp_path):
    """Finite gradients and a step that is too long: told at once, with the weights before it."""
    wrapper = dict(optimizer=dict(type='SGD', lr=1e38))
    runner = runner_of(tmp_path, hooks=[Spoil(1, 1e6)], optim_wrapper=wrapper)
    before = {name: tensor.clone() for name, tensor in runner.model.state_dict().items()}
    facts = ('iteration 1', 'tensors of the weights', 'after the step', 'body.0.weight', 'loss_a')
    with raises_naming(NonFiniteError, *facts):
        runner.train()
    kept, loss = replay(tmp_path / 'run/non_finite_iter_1.pt')
    assert loss.isfinite()
    for name, tensor in before.items():
        assert torch.equal(kept['state_dict'][name], tensor), name
    assert not runner.model.body[0].weight.isfinite().all()


def test_skipped_steps(tmp_path):
    """Weights, statistics and optimizer are left as they were, a warning names the step."""
    states = {}

    class Note(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            optimizer = runner.optim_wrapper.optimizer.state
            moments = [m['exp_avg'].clone() for m in optimizer.values()]
            weights = [t.clone() for t in runner.model.state_dict().values()]
            states[runner.iter + 1] = moments + weights

    runner = runner_of(tmp_path, max_skipped=2, hooks=[Spoil(3, float('nan')), Note()])
    runner.train()
    assert all(torch.equal(*pair) for pair in zip(states[2], states[3], strict=True))
    assert not all(torch.equal(*pair) for pair in zip(states[3], states[4], strict=True))
    (log,) = (tmp_path / 'run').glob('*/*.log')
    (line,) = [line for line in log.read_text().splitlines() if 'WARNING - it' in line]
    assert_names(line, 'WARNING', 'iteration 3', 'loss is nan', 'step 1 of at most 2')
    assert not list((tmp_path / 'run').glob('*.pt'))
    found = checkpoints(tmp_path / 'run')['epoch_4.pth']
    assert found['message_hub']['runtime_info']['skipped_steps'] == 1


def test_too_many_skipped_steps(tmp_path):
    """Counted over the whole training, also where it was resumed."""
    runner = runner_of(tmp_path, 2, [Spoil(2, float('nan'))], epochs=2)
    runner.train()
    runner = runner_of(tmp_path, 2, [Spoil(6, float('nan'), once=False)])
    with raises_naming(NonFiniteError, 'iteration 7', 'the loss is nan'):
        runner.train()


def test_accumulated_gradients(tmp_path):
    """The loss of an iteration without a step stops as well, at that iteration."""
    wrapper = dict(optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=2)
    runner = runner_of(tmp_path, hooks=[Spoil(3, float('nan'))], optim_wrapper=wrapper)
    with raises_naming(NonFiniteError, 'iteration 3', 'the loss is nan'):
        runner.train()


def test_skipped_step_among_those_that_are_gathered(tmp_path):
    """Its gradients go at once: the next iteration, of other pictures, is not at fault."""
    wrapper = dict(optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=2)
    runner = runner_of(tmp_path, 1, [Spoil(3, float('nan'))], optim_wrapper=wrapper)
    runner.train()
    (log,) = (tmp_path / 'run').glob('*/*.log')
    (line,) = [line for line in log.read_text().splitlines() if 'WARNING - it' in line]
    assert_names(line, 'iteration 3', 'loss is nan', 'step 1 of at most 1')
    steps = [state['step'] for state in runner.optim_wrapper.optimizer.state.values()]
    assert set(map(int, steps)) == {4}


def test_clipped_gradients(tmp_path):
    """Clipping makes NaN of all of them; it is the loss that is told."""
    wrapper = dict(optimizer=dict(type='AdamW', lr=0.1), clip_grad=dict(max_norm=1.0))
    runner = runner_of(tmp_path, hooks=[Spoil(3, float('inf'))], optim_wrapper=wrapper)
    with raises_naming(NonFiniteError, 'iteration 3', 'the loss is inf'):
        runner.train()


@OPTIM_WRAPPERS.register_module()
class AmpOnCpu(OptimWrapper):
    """mmengine's `AmpOptimWrapper`, which wants a GPU, with the same scaler of PyTorch."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=scale)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


def amp(scale):
    return dict(type='AmpOnCpu', scale=scale, optimizer=dict(type='SGD', lr=0.1))


def test_overflow_steps_of_amp_are_left_aside(tmp_path):
    """The scale halves until the scaled gradients fit; no step is counted."""
    runner = runner_of(tmp_path, hooks=[Spoil(1, 64.0, once=False)], optim_wrapper=amp(2.0**127))
    runner.train()
    assert runner.optim_wrapper.loss_scaler.get_scale() < 2.0**127
    assert 'skipped_steps' not in runner.message_hub.runtime_info
    with raises_naming(NonFiniteError, 'iteration 3', 'the loss is nan'):
        runner_of(tmp_path / 'nan', hooks=[Spoil(3, float('nan'))], optim_wrapper=amp(4.0)).train()


def test_gradients_that_no_scale_of_amp_helps(tmp_path):
    runner = runner_of(tmp_path, optim_wrapper=amp(4.0))
    runner.model.register_forward_hook(add_steep_loss)
    with raises_naming(NonFiniteError, 'iteration 3', "AMP's loss scale fell to 0.5", 'loss_b 0'):
        runner.train()


def test_all_processes_stop_together(tmp_path):
    """Two processes, of which one has met NaN: both know."""

    def agree(rank):
        torch.distributed.init_process_group(
            'gloo', init_method=f'file://{tmp_path}/store', rank=rank, world_size=2
        )
        assert _all_agree(torch.tensor(True))
        assert not _all_agree(torch.tensor(rank == 0))

    def both():
        other = os.fork()
        if not other:
            os._exit(in_a_process(lambda: agree(1)))
        agree(0)
        assert os.waitpid(other, 0)[1] == 0

    assert in_a_process(both) == 0


def test_nothing_changes_where_all_is_finite(tmp_path):
    """The same weights to the last bit with the hook and without it."""
    runner_of(tmp_path / 'with').train()
    cfg = small_config(tmp_path / 'without/run')
    cfg.default_hooks.non_finite = None
    runner = small_runner(cfg)
    assert not [hook for hook in runner.hooks if isinstance(hook, NonFiniteHook)]
    runner.train()
    one, other = (checkpoints(tmp_path / name / 'run') for name in ('with', 'without'))
    for name, tensor in one['epoch_4.pth']['state_dict'].items():
        assert torch.equal(tensor, other['epoch_4.pth']['state_dict'][name])


def test_full_disk(tmp_path):
    """What would show it again cannot be kept: that is said, and what happened."""
    with small_disk(tmp_path / 'disk', '200k') as disk:

        class Fill(Spoil):
            def before_train_iter(self, runner, batch_idx, data_batch=None):
                super().before_train_iter(runner, batch_idx, data_batch)
                if runner.iter + 1 == self.iteration:
                    with (disk / 'other').open('wb', buffering=0) as file:
                        try:
                            while True:
                                file.write(bytes(4096))
                        except OSError:
                            pass

        runner = runner_of(disk, hooks=[Fill(2, float('nan'))])
        with raises_naming(
            NonFiniteError, 'iteration 2', 'the loss is nan', 'not kept', 'No space left'
        ):
            runner.train()


def test_files_of_a_batch():
    class Sample:
        def __init__(self, path):
            self.img_path = path

    batch = {'inputs': [torch.ones(1)], 'data_samples': [Sample('a.jpg'), Sample(Path('b.jpg'))]}
    assert list(files_of(batch)) == ['a.jpg', 'b.jpg']
    assert not list(files_of([torch.ones(2)]))


def test_random_states():
    states = random_states()
    first = random.random(), float(np.random.rand()), float(torch.rand(()))
    random.setstate(states['python'])
    np.random.set_state(states['numpy'])
    torch.set_rng_state(states['torch'])
    assert (random.random(), float(np.random.rand()), float(torch.rand(()))) == first
