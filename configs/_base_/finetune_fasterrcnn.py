# finetune_maskrcnn.py without masks, for data that has boxes alone.
_base_ = './fasterrcnn_fastvit.py'

model = dict(backbone=dict(frozen_stages=1, norm_eval=True))

train_cfg = dict(max_epochs=50, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=500, end=10000, T_max=9500),
]
optim_wrapper = dict(optimizer=dict(lr=1e-4), clip_grad=dict(max_norm=35, norm_type=2))
auto_scale_lr = dict(enable=False, base_batch_size=4)

train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in (480, 544, 608, 672, 736, 800)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))

# `test --tta`: three sizes, each mirrored, too. (mmdet merges boxes, not masks.)
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(1333, side), keep_ratio=True) for side in (640, 800, 960)],
            [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=(
                        *('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
                        *('flip', 'flip_direction'),
                    ),
                )
            ],
        ],
    ),
]

custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SameBuffersHook'),
    dict(type='BatchInPartsHook'),
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=2e-4, gamma=100),
    dict(type='EarlyStopHook', monitor='bbox_mAP', rule='greater', patience=10, min_delta=1e-6),
]
