"""Semantic FPN, FastViT-T8, ADE20K, 512x512, 40k iterations at batch 32 (8 GPUs x 4).

torchrun --nproc_per_node 8 tools/train.py configs/semfpn_fastvit_t8.py --launcher pytorch
python tools/train.py configs/semfpn_fastvit_t8.py --auto-scale-lr    # one GPU
Expected on ADE20K val: none published.
"""

_base_ = './_base_/semfpn_fastvit.py'

model = dict(
    backbone=dict(arch='t8', init_cfg=dict(checkpoint='apple/fastvit_t8')),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
