# SSDLite on COCO at 320x320, 200 epochs at batch 128 (4 GPUs x 32), as CVNets trains it. Loss, box
# coding, assignment and suppression are mmdet's SSD; maps, predictors and anchors follow CVNets,
# whose weights load (fastvit_dense/dense_heads/ssdlite.py).
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    './common.py',
]

input_size = 320
# of six maps with strides 16 to 256, and one cell for the whole picture
sizes = [(0.1 + 0.95 / 6 * i) * input_size for i in range(7)]
channels = (512, 256, 256, 128, 128, 64)
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='SingleStageDetector',
    # MobileViT takes 0-1 without a mean, here as RGB; files of networks for BGR are turned round.
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[0.0, 0.0, 0.0],
        std=[255.0, 255.0, 255.0],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type='MobileViT',
        arch='s',
        out_indices=(3, 4),
        out_norm=None,
        # BatchNorm policy: synchronised, statistics updated; plain BN where there is one process.
        norm_cfg=norm_cfg,
        norm_eval=False,
        frozen_stages=-1,
        dropout=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='timm/mobilevit_s.cvnets_in1k'),
    ),
    neck=dict(type='SSDLiteNeck', in_channels=(128, 160), out_channels=channels, norm_cfg=norm_cfg),
    bbox_head=dict(
        type='SSDLiteHead',
        num_classes=80,
        in_channels=channels,
        norm_cfg=norm_cfg,
        anchor_generator=dict(
            type='SSDLiteAnchorGenerator',
            input_size=input_size,
            strides=[16, 32, 64, input_size / 3, input_size / 2, input_size],
            ratios=[[2, 3], [2, 3], [2, 3], [2, 3], [2, 3], [2]],
            min_sizes=sizes[:6],
            max_sizes=sizes[1:],
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
    ),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.0,
            ignore_iof_thr=-1,
            gt_max_assign_all=False,
        ),
        sampler=dict(type='PseudoSampler'),
        smoothl1_beta=1.0,
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000, nms=dict(type='nms', iou_threshold=0.5), score_thr=0.01, max_per_img=200
    ),
)

train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='MinIoURandomCrop', min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    dict(type='Resize', scale=(input_size, input_size), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(input_size, input_size), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
data_root = 'data/coco/'
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    batch_sampler=None,
    sampler=dict(type='SeededSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    _delete_=True,
    type='InstanceMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric='bbox',
)
test_evaluator = val_evaluator

max_epochs = 200
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=9e-4, betas=(0.9, 0.999), weight_decay=0.01),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
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
    checkpoint=dict(interval=10, max_keep_ckpts=3, save_best='bbox_mAP', rule='greater'),
    non_finite=dict(type='NonFiniteHook', max_skipped=0),
)
