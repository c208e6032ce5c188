"""Mask R-CNN, MobileViT-S, COCO, batches of 512 to 1280 pixels, 100 epochs (8 GPUs x 4 at 1024).

torchrun --nproc_per_node 8 tools/train.py configs/maskrcnn_mobilevit_s.py --launcher pytorch
python tools/train.py configs/maskrcnn_mobilevit_s.py --auto-scale-lr    # one GPU
Expected on COCO val2017: box AP 42.0, mask AP 37.7 (RangeAugment paper), with its learned
augmentation, which is not here, and an encoder that was trained with it.
"""

_base_ = './_base_/maskrcnn_mobilevit.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    # BatchNorm policy: synchronised, the heads' too; plain BN where there is one process.
    backbone=dict(out_norm=None, norm_cfg=norm_cfg, dropout=0.1),
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(mask_head=dict(norm_cfg=norm_cfg)),
)

# 512 px x 16 pictures, 608 x 11, 672 x 9, ... 1024 x 4, ... 1280 x 2, on each GPU: RangeAugment's
# sizes. Pictures keep their shape, in training as in testing: a size is that of a square which they
# fit into, and a batch is padded to its largest. The sources give squares and no word on shapes;
# this is Mask R-CNN's own way.
train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='AtSampledSize',
        transforms=[dict(type='Resize', scale=('width', 'height'), keep_ratio=True)],
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=4,
    batch_sampler=dict(
        _delete_=True,
        type='MultiScaleBatchSampler',
        base_size=(1024, 1024),
        min_size=512,
        max_size=1280,
        num_scales=10,
    ),
    drop_last=False,
    dataset=dict(pipeline=train_pipeline),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 100
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys=dict(backbone=dict(lr_mult=0.1))
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(
        type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[60, 84], gamma=0.1
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)

# The weights that are tested and saved are an exponential mean; BatchNorm statistics are copied.
custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SameBuffersHook'),
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=5e-4),
]
default_hooks = dict(checkpoint=dict(interval=5))

expected_results = [
    dict(
        metric='bbox_mAP',
        value=0.42,
        tolerance=0.003,
        source='RangeAugment paper',
    ),
    dict(
        metric='segm_mAP',
        value=0.377,
        tolerance=0.003,
        source='RangeAugment paper',
    ),
]
