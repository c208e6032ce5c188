# Small data, instance segmentation, from pretrained weights: passes over the data instead of COCO's
# 12 epochs, several picture sizes, colours, averaged weights, the best checkpoint, early stopping.
# Rates and lengths are this project's choice; nothing is published for this network.
_base_ = './maskrcnn_fastvit.py'

# The stem and the first stage keep what ImageNet taught; BatchNorm keeps its statistics, which
# batches of a few pictures would spoil. From random weights: frozen_stages=-1, norm_eval=False.
model = dict(backbone=dict(frozen_stages=1, norm_eval=True))

# 50 passes; warm-up of 500 steps, a tenth of the run at most (engine/schedule.py fits both)
train_cfg = dict(max_epochs=50, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=500, end=10000, T_max=9500),
]
optim_wrapper = dict(optimizer=dict(lr=1e-4), clip_grad=dict(max_norm=35, norm_type=2))
# the batch that the rate is made for; --accumulate reaches it with train_dataloader.batch_size=1
auto_scale_lr = dict(enable=False, base_batch_size=4)

train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
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

custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SameBuffersHook'),
    dict(type='BatchInPartsHook'),
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=2e-4, gamma=100),
    dict(type='EarlyStopHook', monitor='bbox_mAP', rule='greater', patience=10, min_delta=1e-6),
]
