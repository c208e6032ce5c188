"""Mask R-CNN, FastViT-T8, for a few hundred pictures of your own.

fastvit-dense train finetune/maskrcnn_fastvit_t8 --data FOLDER
"""

_base_ = '../_base_/finetune_maskrcnn.py'

model = dict(
    backbone=dict(arch='t8', init_cfg=dict(checkpoint='apple/fastvit_t8')),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
