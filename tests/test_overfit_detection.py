"""Mask R-CNN T8 fits three real photographs: an overfit check, which says nothing of accuracy."""

import json

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fastvit_dense.engine.testing import evaluate_checkpoint
from fastvit_dense.engine.training import train

CONFIG = """
_base_ = '{root}/configs/maskrcnn_fastvit_t8.py'

iterations = 400
scale = (256, 192)
model = dict(
    # from random weights; the same three pictures in every batch, so that BatchNorm's running
    # statistics become those of the batch
    backbone=dict(init_cfg=None),
    # for pictures of a third of COCO's size: the bottle has 10 x 28 pixels, the smallest of mmdet's
    # anchors 23 x 45, too much to be matched
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=400, max_per_img=100), rcnn=dict(sampler=dict(num=32))
    ),
    test_cfg=dict(rpn=dict(nms_pre=400, max_per_img=100)),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackDetInputs'),
]
photos = dict(
    data_root='{data}/',
    ann_file='instances.json',
    data_prefix=dict(img='images/'),
    metainfo=dict(classes={classes}),
)
train_dataloader = dict(
    batch_size=3,
    num_workers=0,
    persistent_workers=False,
    batch_sampler=None,
    sampler=dict(_delete_=True, type='SeededInfiniteSampler', shuffle=False),
    dataset=dict(pipeline=train_pipeline, filter_cfg=None, **photos),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=photos)
val_dataloader['dataset']['pipeline'] = _base_.test_pipeline
val_dataloader['dataset']['pipeline'][1]['scale'] = scale
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{data}/instances.json')
test_evaluator = val_evaluator
train_cfg = dict(
    _delete_=True,
    type='IterBasedTrainLoop',
    max_iters=iterations,
    val_begin=150,
    val_interval=50,
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.0), clip_grad=dict(max_norm=10)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=iterations, eta_min=1e-5, by_epoch=False),
]
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=50, max_keep_ckpts=1, save_best=None),
)
custom_hooks = [dict(type='SeedHook'), dict(type='StopWhenFitted')]
"""
AP50 = 0.9


@HOOKS.register_module()
class StopWhenFitted(Hook):
    """End training when a validation passes the bound."""

    def after_val_epoch(self, runner, metrics=None):
        if metrics['bbox_mAP_50'] > AP50:
            runner.train_loop.stop_training = True


@pytest.mark.slow
def test_three_photographs_are_learnt(shared_dir, root_dir, tmp_path):
    data = shared_dir / 'real/voc3'
    if not data.is_dir():
        pytest.skip(f'no photographs at {data}')
    content = json.loads((data / 'instances.json').read_text())
    classes = [category['name'] for category in content['categories']]
    text = CONFIG.replace('{root}', str(root_dir)).replace('{data}', str(data))
    config = tmp_path / 'voc3.py'
    config.write_text(text.replace('{classes}', repr(classes)))

    train(config, work_dir=str(tmp_path))
    checkpoint = (tmp_path / 'last_checkpoint').read_text().strip()
    evaluate_checkpoint(config, checkpoint, work_dir=str(tmp_path))
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['samples'] == 3
    assert report['metrics']['bbox_mAP_50'] > AP50
