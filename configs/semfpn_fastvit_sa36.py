"""Semantic FPN, FastViT-SA36, ADE20K, 512x512, 40k iterations at batch 32 (8 GPUs x 4).

torchrun --nproc_per_node 8 tools/train.py configs/semfpn_fastvit_sa36.py --launcher pytorch
python tools/train.py configs/semfpn_fastvit_sa36.py --auto-scale-lr    # one GPU
Expected on ADE20K val: mIoU 42.9 (FastViT paper, Table 9), 44.1 GMACs at 512x512.
"""

_base_ = './_base_/semfpn_fastvit.py'

model = dict(
    backbone=dict(arch='sa36', init_cfg=dict(checkpoint='apple/fastvit_sa36')),
)

expected_results = [
    dict(metric='mIoU', value=42.9, tolerance=0.5, source='FastViT paper, Table 9'),
]
