# Faster R-CNN with FPN: Mask R-CNN's recipe without the mask head, for data that has boxes alone.
# The FastViT paper prints no numbers of it.
_base_ = './maskrcnn_fastvit.py'

model = dict(
    type='FasterRCNN',
    roi_head=dict(mask_head=None, mask_roi_extractor=None),
)
custom_imports = dict(_delete_=True, imports=['fastvit_dense'], allow_failed_imports=False)

train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
