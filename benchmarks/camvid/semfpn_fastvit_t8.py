"""Semantic FPN, FastViT-T8, from random weights on CamVid: SegNet's split, 367 pictures to train.

fastvit-dense train benchmarks/camvid/semfpn_fastvit_t8.py --data CAMVID
"""

_base_ = '../../configs/finetune/semfpn_fastvit_t8.py'

crop_size = (256, 256)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(init_cfg=None, frozen_stages=-1),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.05))

train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(480, 360), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeToMultiple', size_divisor=32),  # 480x360 becomes 480x384
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# All of the time: no early end. The average follows a run of 1,000 steps.
custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SameBuffersHook'),
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=2e-3, gamma=100),
]
