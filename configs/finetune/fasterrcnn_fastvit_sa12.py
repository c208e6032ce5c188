"""Faster R-CNN, FastViT-SA12, for a few hundred pictures of your own (boxes alone).

fastvit-dense train finetune/fasterrcnn_fastvit_sa12 --data FOLDER
"""

_base_ = '../_base_/finetune_fasterrcnn.py'

model = dict(
    backbone=dict(arch='sa12', init_cfg=dict(checkpoint='apple/fastvit_sa12')),
)
