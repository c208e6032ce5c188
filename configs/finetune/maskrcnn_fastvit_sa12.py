"""Mask R-CNN, FastViT-SA12, for a few hundred pictures of your own.

fastvit-dense train finetune/maskrcnn_fastvit_sa12 --data FOLDER
"""

_base_ = '../_base_/finetune_maskrcnn.py'

model = dict(
    backbone=dict(arch='sa12', init_cfg=dict(checkpoint='apple/fastvit_sa12')),
)
