"""Semantic FPN, FastViT-SA12, for a few hundred pictures of your own.

fastvit-dense train finetune/semfpn_fastvit_sa12 --data FOLDER
"""

_base_ = '../_base_/finetune_semfpn.py'

model = dict(
    backbone=dict(arch='sa12', init_cfg=dict(checkpoint='apple/fastvit_sa12')),
)
