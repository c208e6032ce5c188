"""Faster R-CNN, FastViT-MA36, COCO, 1x (12 epochs, batch 16 = 8 GPUs x 2): boxes alone.

torchrun --nproc_per_node 8 tools/train.py configs/fasterrcnn_fastvit_ma36.py --launcher pytorch
python tools/train.py configs/fasterrcnn_fastvit_ma36.py --auto-scale-lr    # one GPU
"""

_base_ = './_base_/fasterrcnn_fastvit.py'

model = dict(
    backbone=dict(arch='ma36', init_cfg=dict(checkpoint='apple/fastvit_ma36')),
    neck=dict(in_channels=[76, 152, 304, 608]),
)
