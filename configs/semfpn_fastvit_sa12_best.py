"""Semantic FPN, FastViT-SA12, ADE20K, 512x512, 40k iterations at batch 32 (8 GPUs x 4);
the recipe of the stronger peers: distilled weights, frozen BatchNorm statistics, weight decay 0.05.

torchrun --nproc_per_node 8 tools/train.py configs/semfpn_fastvit_sa12_best.py --launcher pytorch
python tools/train.py configs/semfpn_fastvit_sa12_best.py --auto-scale-lr    # one GPU
Expected on ADE20K val: none published.
"""

_base_ = './_base_/semfpn_fastvit_best.py'

model = dict(
    backbone=dict(arch='sa12', init_cfg=dict(checkpoint='apple_dist/fastvit_sa12')),
)
