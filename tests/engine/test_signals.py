"""Signals while training: real ones, sent to this very process between two steps."""

import os
import signal

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fastvit_dense import cli, engine
from fastvit_dense.errors import Stopped
from tests.engine.test_training import assert_same_training

pytestmark = pytest.mark.integration
NO_VALIDATION = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')
TWO_EPOCHS = ('train_cfg.max_epochs=2', 'train_cfg.val_interval=2')


@HOOKS.register_module()
class SendSignal(Hook):
    """Send signals to this process within a training step, or within a validation."""

    def __init__(self, signals: list, step: int | None = None, epoch: int | None = None) -> None:
        self.signals = signals
        self.step = step
        self.epoch = epoch

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.step:
            self.send()

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == self.epoch and batch_idx == 0:
            self.send()

    def send(self):
        for name in self.signals:
            os.kill(os.getpid(), signal.Signals[name])


def signalled(config, folder, *signals, **place):
    """A config that is sent signals, beside what its own hooks do."""
    cfg = Config.fromfile(config)
    cfg.custom_hooks.append(dict(type='SendSignal', signals=list(signals), **place))
    cfg.dump(folder / 'signalled.py')
    return folder / 'signalled.py'


def whole_run(config, folder, options):
    engine.train(config, cfg_options=options, work_dir=folder)
    return folder


def test_within_an_epoch(tiny_instance, two_epochs, tmp_path, capfd):
    """After step 5 of 6; what follows is what the uninterrupted run does, to the last bit."""
    options = [*TWO_EPOCHS, *NO_VALIDATION]
    handler = signal.getsignal(signal.SIGTERM)
    config = signalled(tiny_instance, tmp_path, 'SIGTERM', step=5)
    with pytest.raises(Stopped, match=r'^SIGTERM: stopped after step 5 of 6, saved .*iter_5.pth'):
        engine.train(config, cfg_options=options, work_dir=tmp_path)
    assert signal.getsignal(signal.SIGTERM) == handler
    captured = capfd.readouterr()
    assert 'SIGTERM: this step is finished, then saved' in captured.err
    assert 'stopped after step 5 of 6' in captured.out
    assert 'Traceback' not in captured.out + captured.err
    saved = torch.load(tmp_path / 'iter_5.pth', weights_only=False)
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (1, 5)
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_5.pth')
    assert not (tmp_path / 'epoch_2.pth').exists()
    torch.rand(3)
    options.append('train_dataloader.num_workers=1')
    engine.train(tiny_instance, cfg_options=options, work_dir=tmp_path, resume='auto')
    assert_same_training(two_epochs / 'epoch_2.pth', tmp_path / 'epoch_2.pth')
    assert 'Epoch(train) [2][3/3]' in capfd.readouterr().out
    assert not (tmp_path / 'iter_5.pth').exists()  # epoch_2.pth is later


@pytest.mark.slow  # a minute: two runs and a half of the hand model
def test_hands_with_averaged_weights_within_an_epoch(tiny_hand, tmp_path):
    options = [*TWO_EPOCHS, *NO_VALIDATION, 'train_dataloader.batch_size=8']
    options += ['train_dataloader.dataset.indices=24', 'default_hooks.checkpoint.save_best=None']
    whole_run(tiny_hand, tmp_path / 'whole', options)
    config = signalled(tiny_hand, tmp_path, 'SIGUSR1', step=4)
    with pytest.raises(Stopped, match='SIGUSR1: stopped after step 4 of 6'):
        engine.train(config, cfg_options=options, work_dir=tmp_path / 'run')
    engine.train(tiny_hand, cfg_options=options, work_dir=tmp_path / 'run', resume='auto')
    assert_same_training(tmp_path / 'whole/epoch_2.pth', tmp_path / 'run/epoch_2.pth')
    states = [
        torch.load(tmp_path / f'{run}/epoch_2.pth', weights_only=False)['ema_state_dict']
        for run in ('whole', 'run')
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_in_a_run_of_iterations(tiny_semantic, four_steps, tmp_path):
    """From the command line: status 75, and no traceback."""
    config = signalled(tiny_semantic, tmp_path, 'SIGUSR1', step=3)
    with pytest.raises(SystemExit) as end:
        cli.main(['train', str(config), '--work-dir', str(tmp_path)])
    assert end.value.code == 75
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_3.pth')
    engine.train(tiny_semantic, work_dir=tmp_path, resume='auto')
    assert_same_training(four_steps / 'iter_4.pth', tmp_path / 'iter_4.pth')


def test_at_the_end_of_an_epoch(tiny_instance, tmp_path):
    """The epoch's own checkpoint is the one; the validation after it is left to the resumed run."""
    config = signalled(tiny_instance, tmp_path, 'SIGINT', step=3)
    with pytest.raises(Stopped, match=r'SIGINT: stopped after step 3 of 6, saved .*epoch_1.pth'):
        engine.train(
            config, cfg_options=['train_cfg.max_epochs=2', *NO_VALIDATION], work_dir=tmp_path
        )
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']


def test_within_a_validation(tiny_instance, tmp_path, capfd):
    config = signalled(tiny_instance, tmp_path, 'SIGTERM', epoch=1)
    with pytest.raises(Stopped, match=r'saved .*epoch_1.pth'):
        engine.train(config, cfg_options=['train_cfg.max_epochs=2'], work_dir=tmp_path)
    assert 'bbox_mAP' not in capfd.readouterr().out  # it did not come to its end


def test_ctrl_c_twice_ends_at_once(tiny_semantic, tmp_path):
    config = signalled(tiny_semantic, tmp_path, 'SIGINT', 'SIGINT', step=3)
    with pytest.raises(SystemExit) as end:
        cli.main(['train', str(config), '--work-dir', str(tmp_path)])
    assert end.value.code == 130
    assert not (tmp_path / 'iter_3.pth').exists()


def test_another_batch_size_starts_the_epoch_anew(tiny_instance, tmp_path, logged):
    options = [*TWO_EPOCHS, *NO_VALIDATION]
    config = signalled(tiny_instance, tmp_path, 'SIGTERM', step=4)
    with pytest.raises(Stopped):
        engine.train(config, cfg_options=options, work_dir=tmp_path)
    options.append('train_dataloader.batch_size=3')
    runner = engine.train(tiny_instance, cfg_options=options, work_dir=tmp_path, resume='auto')
    assert runner.iter == 4  # two epochs of two steps
    log = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert 'saved after 1 of 3 steps of an epoch, which has 2 now' in log


def test_other_threads_have_no_signals():
    from threading import Thread

    from fastvit_dense.engine.signals import StopRequest

    seen = []

    def listen():
        with StopRequest().listening():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [before]
