# ADE20K, 512x512 crops, 50 epochs at batch 16 (4 GPUs x 4): the recipe of Apple's RangeAugment for
# DeepLabv3 with MobileViT, without its learned augmentation.
_base_ = [
    './models/deeplabv3_mobilevit_os8.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/schedules/schedule_40k.py',
    'mmseg::_base_/default_runtime.py',
    './common.py',
]

crop_size = (512, 512)
model = dict(
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # the short side becomes 256 to 768 pixels, the long one at most 1024
    dict(type='RandomResize', scale=(1024, 512), ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
# The masks hold 0 for "not labelled" and 1 to 150 for the classes; said once, for the loading too.
train_dataloader = dict(
    batch_size=4,
    sampler=dict(_delete_=True, type='SeededInfiniteSampler', shuffle=True),
    dataset=dict(reduce_zero_label=True, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(reduce_zero_label=True, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type='SemanticMetric')
test_evaluator = val_evaluator

max_iters = 63000  # x 16 images / 20,210 = 50 epochs
train_cfg = dict(max_iters=max_iters, val_interval=6300)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-4,
        by_epoch=False,
        begin=0,
        end=max_iters,
        T_max=max_iters,
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=16)

# The weights that are tested and saved are an exponential mean; BatchNorm statistics are copied.
custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SameBuffersHook'),
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=5e-4),
]
default_hooks = dict(
    checkpoint=dict(interval=6300, max_keep_ckpts=3, save_best='mIoU', rule='greater'),
    non_finite=dict(type='NonFiniteHook', max_skipped=0),
)
