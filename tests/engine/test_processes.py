"""One, two and four processes, with sizes that divide by nothing; and accumulated gradients."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tiny import read_report

pytestmark = [pytest.mark.integration, pytest.mark.slow]
WORKER = Path(__file__).parents[1] / 'processes_worker.py'
PROCESSES = (1, 2, 4)
BATCH = 4  # of all processes together

# Constant steps of SGD: Adam divides by the size of a gradient, which makes rounding errors of
# small gradients as large as the steps themselves.
STEPS = """
_base_ = {base!r}
optim_wrapper = dict(
    _delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3, momentum=0.9)
)
param_scheduler = []
custom_hooks = [dict(type='SeedHook'), dict(type='SameBuffersHook'), dict(type='NormsInEval')]
model = dict(backbone=dict(drop_path_rate=0.0))
default_hooks = dict(
    checkpoint=dict(_delete_=True, type='CheckpointHook', interval=1, by_epoch={by_epoch})
)
"""
# A loss that is the mean over a batch of the losses of its pictures, as far as mmdet's can be that:
# each of its terms is divided by the number of regions that were drawn on this process. So here
# all are taken, of which each picture has as many; the loss of the masks is divided by the number
# of positive ones, and left out.
MASK_RCNN = """
train_cfg = dict(max_epochs=3, val_interval=3)
assigner = dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5)  # nothing is ignored
sampler = dict(num=100_000, add_gt_as_proposals=False)
model.update(
    train_cfg=dict(
        rpn=dict(assigner=assigner, sampler=sampler), rcnn=dict(assigner=assigner, sampler=sampler)
    ),
    roi_head=dict(mask_head=dict(loss_mask=dict(loss_weight=0.0))),
)
train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(96, 96), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(indices=4, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(indices=3))
"""
# task -> epochs or iterations, last checkpoint, options: three or seven test images. An epoch is
# of whole batches: the sampler fills up one that is not, with other pictures for each number of
# processes.
TASKS = {
    'instance': (True, 'epoch_3.pth', MASK_RCNN),
    'semantic': (
        False,
        'iter_3.pth',
        'model.update(decode_head=dict(dropout_ratio=0.0))\n'
        'train_cfg = dict(max_iters=3, val_interval=3)\n'
        'test_dataloader = dict(dataset=dict(indices=7))',
    ),
    'hand': (
        True,
        'epoch_1.pth',
        'model.update(head=dict(dropout=0.0))\n'
        'train_cfg = dict(max_epochs=1, val_interval=1)\n'
        'train_dataloader = dict(dataset=dict(indices=12))\n'
        # one by one: the rounding of a convolution changes with the size of the batch
        'test_dataloader = dict(batch_size=1, dataset=dict(indices=3))',
    ),
}

HALF = [f'train_dataloader.batch_size={BATCH // 2}', 'optim_wrapper.accumulative_counts=2']
ACCUMULATED = {
    'instance': HALF,
    'semantic': [*HALF, 'train_cfg.max_iters=6', 'train_cfg.val_interval=6'],
    'hand': HALF,
}


@pytest.fixture(scope='module', params=TASKS)
def runs(request, tmp_path_factory):
    """Task, last checkpoint's name, and the work dir of each number of processes."""
    task = request.param
    by_epoch, last, more = TASKS[task]
    base = request.getfixturevalue(f'tiny_{task}')
    checkpoint = request.getfixturevalue('trained' if task == 'instance' else f'random_{task}')
    folder = tmp_path_factory.mktemp(f'processes_{task}')
    config = folder / f'{task}.py'
    config.write_text(STEPS.format(base=str(base), by_epoch=by_epoch) + more)
    folders = {}
    for name, count, options in (
        *((count, count, [f'train_dataloader.batch_size={BATCH // count}']) for count in PROCESSES),
        ('accumulated', 1, ACCUMULATED[task]),
    ):
        folders[name] = folder / str(name)
        _run(count, str(folders[name]), str(config), str(checkpoint), *options)
    return task, last, folders


def _run(processes, *arguments):
    launch = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    done = subprocess.run(
        [*launch, f'--nproc_per_node={processes}', str(WORKER), *arguments],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def farthest(one, other):
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


def test_scores_are_equal_to_the_last_digit(runs):
    _, _, folders = runs
    first, *others = (read_report(folder / 'tested') for folder in folders.values())
    for report in others:
        assert report['metrics'] == first['metrics']
        assert report['per_class'] == first['per_class']
        assert report['samples'] == first['samples']


def test_trained_weights_are_those_of_one_process(runs):
    """Where the loss of a batch is the mean of its pictures' losses, within 1e-6."""
    _, last, folders = runs
    alone = weights(folders[1] / last)
    for count in PROCESSES[1:]:
        assert farthest(alone, weights(folders[count] / last)) < 1e-6
    momentum = torch.load(folders[1] / last, weights_only=False)['optimizer']['state']
    steps = [1e-3 * state['momentum_buffer'].abs().max().item() for state in momentum.values()]
    assert max(steps) > 1e-4  # the weights have moved


def test_accumulated_gradients_are_those_of_the_large_batch(runs):
    _, last, folders = runs
    accumulated = {'iter_3.pth': 'iter_6.pth'}.get(last, last)  # of half batches, twice as many
    found = weights(folders['accumulated'] / accumulated)
    assert farthest(weights(folders[1] / last), found) < 1e-6
