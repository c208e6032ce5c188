"""Mask R-CNN, FastViT-SA24, for a few hundred pictures of your own.

fastvit-dense train finetune/maskrcnn_fastvit_sa24 --data FOLDER
"""

_base_ = '../_base_/finetune_maskrcnn.py'

model = dict(
    backbone=dict(arch='sa24', init_cfg=dict(checkpoint='apple/fastvit_sa24')),
)
