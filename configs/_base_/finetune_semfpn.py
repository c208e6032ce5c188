# Small data, semantic segmentation, from pretrained weights: passes over the data instead of
# 40,000 steps; sizes and colours change as in semfpn_fastvit.py. Rates and lengths are this
# project's choice.
_base_ = './semfpn_fastvit.py'

# The stem keeps what ImageNet taught. From random weights: frozen_stages=-1.
model = dict(backbone=dict(frozen_stages=0))

# 100 passes; warm-up of 500 steps, a tenth of the run at most (engine/schedule.py fits both)
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=100, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=500, end=10000, T_max=9500),
]
# the batch that the rate is made for; --accumulate reaches it with train_dataloader.batch_size=2
auto_scale_lr = dict(enable=False, base_batch_size=8)
train_dataloader = dict(
    batch_size=8,
    drop_last=True,  # the head's BatchNorm needs more than one picture
    sampler=dict(_delete_=True, type='SeededSampler', shuffle=True),
)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=True),
    checkpoint=dict(by_epoch=True, interval=2),
)
custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SameBuffersHook'),
    dict(type='BatchInPartsHook'),
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=2e-4, gamma=100),
    dict(type='EarlyStopHook', monitor='mIoU', rule='greater', patience=10, min_delta=1e-6),
]

# `test --tta`: three sizes, each mirrored, too
tta_model = dict(type='SegTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(2048, side), keep_ratio=True) for side in (384, 512, 640)],
            [dict(type='ResizeToMultiple', size_divisor=32)],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
