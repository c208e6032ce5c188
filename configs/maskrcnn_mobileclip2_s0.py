"""Mask R-CNN, MobileCLIP2-S0 (MCi0), COCO, 1x (12 epochs, batch 16 = 8 GPUs x 2).

torchrun --nproc_per_node 8 tools/train.py configs/maskrcnn_mobileclip2_s0.py --launcher pytorch
python tools/train.py configs/maskrcnn_mobileclip2_s0.py --auto-scale-lr    # one GPU
Expected on COCO val2017: none published.
"""

_base_ = './_base_/maskrcnn_fastvit.py'

model = dict(
    # MobileCLIP2-S0 takes RGB of 0-1, without ImageNet's mean and deviation.
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),
    backbone=dict(
        arch='mci0',
        init_cfg=dict(checkpoint='timm/fastvit_mci0.apple_mclip2_dfndr2b'),
    ),
)
