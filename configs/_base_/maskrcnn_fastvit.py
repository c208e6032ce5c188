# Mask R-CNN with FPN on COCO, 1x: 12 epochs, 8 GPUs x 2 images. Heads, anchors and image size are
# mmdet's; the optimiser is the one of PoolFormer's detection code, whose set-up the FastViT paper
# follows ("1x, Mask R-CNN, following prior work"; its own values are not published).
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', './common.py']

model = dict(
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
    # FCNMaskHead whose predicted masks are run-length codes: large images fit into memory.
    roi_head=dict(mask_head=dict(type='RLEMaskHead')),
)
custom_imports = dict(
    imports=['fastvit_dense', 'fastvit_dense.mask_head'], allow_failed_imports=False
)

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    # weight_decay: 1e-4 as PoolFormer and EfficientFormer; EfficientFormerV2 and RepViT use 0.05.
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=1e-4),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)

data_root = 'data/coco/'
train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(sampler=dict(type='SeededSampler'), dataset=dict(pipeline=train_pipeline))

val_evaluator = dict(
    _delete_=True,
    type='InstanceMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3, save_best='bbox_mAP', rule='greater'),
    non_finite=dict(type='NonFiniteHook', max_skipped=0),
)
