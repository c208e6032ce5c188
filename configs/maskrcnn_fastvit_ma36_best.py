"""Mask R-CNN, FastViT-MA36, COCO, 1x (12 epochs, batch 16 = 8 GPUs x 2);
the recipe of the stronger peers: distilled weights, frozen BatchNorm statistics, weight decay 0.05.

torchrun --nproc_per_node 8 tools/train.py configs/maskrcnn_fastvit_ma36_best.py --launcher pytorch
python tools/train.py configs/maskrcnn_fastvit_ma36_best.py --auto-scale-lr    # one GPU
Expected on COCO val2017: none published.
"""

_base_ = './_base_/maskrcnn_fastvit_best.py'

model = dict(
    backbone=dict(arch='ma36', init_cfg=dict(checkpoint='apple_dist/fastvit_ma36')),
    neck=dict(in_channels=[76, 152, 304, 608]),
)
