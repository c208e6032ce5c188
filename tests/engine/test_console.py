"""What training and testing print: one screen, then progress; the rest is in the log file."""

import json
import re
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fastvit_dense import engine
from fastvit_dense.engine.console import pretrained_files, use_progress_hooks
from tests.tiny import read_log

pytestmark = pytest.mark.integration
SCREEN = 24  # lines
NO_VALIDATION = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')
NOISE = (
    *('OneDL', 'FileClient', 'HardDiskBackend', 'avg_non_ignore', 'draw is False', 'Exp name'),
    *(
        'loading annotations',
        'index created',
        'pkg_resources',
        'OMP_NUM_THREADS',
        'Checkpoints will',
    ),
    *('System environment', 'Config:', 'Hooks will be', 'SyncBatchNorm', 'UserWarning'),
)
IN_THE_FILE = ('System environment:', 'Config:\n', 'Hooks will be executed in the following order:')


def printed_by(capfd, function, **kwargs):
    capfd.readouterr()
    function(**kwargs)
    captured = capfd.readouterr()
    return captured.out + captured.err


def test_training_instances(tiny_instance, tmp_path, capfd):
    out = printed_by(
        capfd, engine.train, config=tiny_instance, cfg_options=NO_VALIDATION, work_dir=tmp_path
    )
    before, _, after = out.partition('Epoch(train) [1][1/3]')
    assert len(before.splitlines()) <= SCREEN
    assert 'eta: ' not in after.partition('\n')[0]  # of the first step
    assert 'Epoch(train) [1][2/3]  lr: ' in after
    assert [word for word in NOISE if word in out] == []
    rows = dict(re.findall(r'^  (\w+) +(.*)$', before, re.MULTILINE))
    assert rows['training'].startswith('tiny_instance with fastvit_dense ')
    annotations = json.loads((tiny_instance.parent / 'train.json').read_text())['annotations']
    total = len(annotations)
    assert rows['train'] == f'6 of 6 images, {total} of {total} annotations used:'
    assert 'val' not in rows
    persons = sum(annotation['category_id'] == 1 for annotation in annotations)
    assert rows['classes'].startswith(f'6: person {persons}, cat ')
    assert rows['batch'] == '2 images, 0 data loading processes'
    assert rows['steps'] == '3 an epoch, 1 epochs, 3 in all'
    assert rows['device'].startswith('CPU, ') or 'GiB' in rows['device']
    state = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict']
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    count = sum(v.numel() for k, v in state.items() if not k.endswith(buffers)) / 1e6
    assert rows['model'] == f'MaskRCNN, {count:.2f} M parameters'
    assert rows['weights'] == 'random'
    assert rows['checkpoints'] == str(tmp_path)
    (log,) = tmp_path.glob('*/*.log')
    assert rows['log'] == str(log)
    assert all(text in log.read_text() for text in IN_THE_FILE)
    assert before.splitlines()[-5] in log.read_text()  # the screen, too


@HOOKS.register_module()
class KeepTimes(Hook):
    """The time to go that is told after each step, and the clock; the first step takes longer."""

    priority = 'LOWEST'
    kept: list = []

    def before_train(self, runner):
        self.kept.clear()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not self.kept:
            time.sleep(4)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.kept.append((runner.message_hub.runtime_info.get('eta'), time.time()))


def test_a_resumed_run_tells_a_sane_time_to_go(tiny_semantic, trained_semantic, tmp_path, capfd):
    """Its slow first step, and the time that the run before it told, have no part in it."""
    config = tmp_path / 'timed.py'
    hooks = [{'type': 'SeedHook'}, {'type': 'KeepTimes'}]
    config.write_text(f'_base_ = {str(tiny_semantic)!r}\ncustom_hooks = {hooks}\n')
    checkpoint = trained_semantic.with_name('iter_2.pth')
    out = printed_by(
        capfd,
        engine.train,
        config=config,
        resume=str(checkpoint),
        cfg_options=['train_cfg.max_iters=12', *NO_VALIDATION],
        work_dir=tmp_path / 'run',
    )
    kept = KeepTimes.kept
    assert len(kept) == 10
    assert kept[0][0] is None
    end = kept[-1][1]
    for told, now in kept[3:7]:
        assert (end - now) / 3 < told < (end - now) * 3 + 0.5
    assert f'resumed from {checkpoint}' in out
    assert '12, about 1 an epoch; resumed after step 2' in out
    before, _, after = out.partition('Iter(train) [ 3/12]')
    assert after
    assert len(before.splitlines()) <= SCREEN
    assert [word for word in NOISE if word in out] == []


def test_testing(tiny_instance, trained, tmp_path, capfd):
    out = printed_by(
        capfd,
        engine.evaluate_checkpoint,
        config=tiny_instance,
        checkpoint=str(trained),
        work_dir=tmp_path,
    )
    assert [word for word in NOISE if word in out] == []
    assert 'report: ' in out
    assert len(out.splitlines()) <= SCREEN
    assert all(text in read_log(tmp_path) for text in IN_THE_FILE)


def test_predicting(tiny_semantic, random_semantic, sample_data, tmp_path, capfd):
    picture = next((sample_data / 'ade20k').rglob('validation/*.jpg'))
    out = printed_by(
        capfd,
        engine.predict,
        config=tiny_semantic,
        checkpoint=str(random_semantic),
        images=str(picture),
        out_dir=str(tmp_path),
    )
    assert out.splitlines() == [f'1 pictures and their JSON in {tmp_path}']


def test_hooks_of_ones_own_stay():
    own = dict(type='LoggerHook', interval=7)
    cfg = Config(dict(default_hooks=dict(logger=own, timer=None)))
    use_progress_hooks(cfg)
    assert cfg.default_hooks == dict(logger=dict(type='ProgressHook', interval=7), timer=None)
    cfg = Config(dict(default_hooks=dict(logger=dict(type='MyLogger'))))
    use_progress_hooks(cfg)
    assert cfg.default_hooks.logger.type == 'MyLogger'
    assert cfg.default_hooks.timer.type == 'ProgressTimerHook'


def test_pretrained_files():
    model = dict(
        backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='apple/fastvit_t8')),
        neck=dict(init_cfg=dict(type='Normal', std=0.1)),
        other=dict(pretrained='there.pth'),
    )
    assert pretrained_files(model) == ['apple/fastvit_t8', 'there.pth']
