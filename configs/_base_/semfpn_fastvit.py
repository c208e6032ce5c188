# Semantic FPN on ADE20K: 512x512 crops, 40k iterations, 8 GPUs x 4 images. The paper trains "80k"
# with PoolFormer's settings at batch 16 and lr 1e-4; 40k at batch 32 and lr 2e-4, PoolFormer's own
# schedule, sees the same number of images.
_base_ = [
    'mmseg::_base_/models/fpn_r50.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/schedules/schedule_40k.py',
    'mmseg::_base_/default_runtime.py',
    './common.py',
]

crop_size = (512, 512)
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        _delete_=True,
        type='FastViT',
        arch='sa24',
        out_indices=(0, 1, 2, 3),
        # One BatchNorm per output, as in Apple's dense code; not in the pretrained file.
        out_norm='BN',
        # BatchNorm policy: plain BN whose statistics are updated, as in Apple's code.
        # Levers: norm_eval=True freezes them (RepViT), norm_cfg=dict(type='SyncBN') shares them.
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        frozen_stages=-1,
        drop_path_rate=0.0,
        # Plain ImageNet weights; 'apple_dist/...' names the distilled ones, which most peers use.
        init_cfg=dict(type='Pretrained', checkpoint='apple/fastvit_sa24'),
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
    # SyncBN as in PoolFormer's head; plain BN where there is one process or no GPU.
    decode_head=dict(num_classes=150, norm_cfg=dict(type='SyncBN', requires_grad=True)),
)

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=1e-4),
)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=40000, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=32)

train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    # Resized up, not padded, to multiples of 32: the AlignResize of all peers.
    dict(type='ResizeToMultiple', size_divisor=32),
    # After the resizing: the truth is scored at its own size.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
# The masks hold 0 for "not labelled" and 1 to 150 for the classes; said once, for the loading too.
train_dataloader = dict(
    sampler=dict(_delete_=True, type='SeededInfiniteSampler', shuffle=True),
    dataset=dict(reduce_zero_label=True, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(reduce_zero_label=True, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type='SemanticMetric')
test_evaluator = val_evaluator

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3, save_best='mIoU', rule='greater'),
    non_finite=dict(type='NonFiniteHook', max_skipped=0),
)
