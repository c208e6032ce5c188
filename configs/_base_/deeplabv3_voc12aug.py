# PASCAL VOC 2012 with the masks of SBD (10,582 training images), 512x512 crops, 50 epochs at batch
# 128 (8 GPUs x 16). The paper adds pictures of COCO, which mmseg has no such dataset for.
_base_ = [
    'mmseg::_base_/datasets/pascal_voc12_aug.py',
    'mmseg::_base_/schedules/schedule_40k.py',
    'mmseg::_base_/default_runtime.py',
    './common.py',
]

crop_size = (512, 512)
train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # the short side becomes 256 to 1024 pixels
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
# The original scores pictures of 512x512, whatever their shape was; the masks at their own size.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=crop_size, keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
voc = dict(type='PascalVOCDataset', data_root='data/VOCdevkit/VOC2012', pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=16,
    sampler=dict(_delete_=True, type='SeededInfiniteSampler', shuffle=True),
    dataset=dict(
        datasets=[
            dict(
                **voc,
                data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
                ann_file='ImageSets/Segmentation/train.txt',
            ),
            dict(
                **voc,
                data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
                ann_file='ImageSets/Segmentation/aug.txt',
            ),
        ]
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type='SemanticMetric')
test_evaluator = val_evaluator

max_iters = 4150  # x 128 images / 10,582 = 50 epochs
train_cfg = dict(max_iters=max_iters, val_interval=415)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=9e-4, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(decode_head=dict(lr_mult=10.0))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=False,
        begin=500,
        end=max_iters,
        T_max=max_iters - 500,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=128)

# The weights that are tested and saved are an exponential mean; BatchNorm statistics are copied.
custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SameBuffersHook'),
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=5e-4),
]
default_hooks = dict(
    checkpoint=dict(interval=415, max_keep_ckpts=3, save_best='mIoU', rule='greater'),
    non_finite=dict(type='NonFiniteHook', max_skipped=0),
)
