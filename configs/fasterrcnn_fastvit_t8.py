"""Faster R-CNN, FastViT-T8, COCO, 1x (12 epochs, batch 16 = 8 GPUs x 2): boxes alone.

torchrun --nproc_per_node 8 tools/train.py configs/fasterrcnn_fastvit_t8.py --launcher pytorch
python tools/train.py configs/fasterrcnn_fastvit_t8.py --auto-scale-lr    # one GPU
"""

_base_ = './_base_/fasterrcnn_fastvit.py'

model = dict(
    backbone=dict(arch='t8', init_cfg=dict(checkpoint='apple/fastvit_t8')),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
