"""Semantic FPN, FastViT-MA36, ADE20K, 512x512, 40k iterations at batch 32 (8 GPUs x 4).

torchrun --nproc_per_node 8 tools/train.py configs/semfpn_fastvit_ma36.py --launcher pytorch
python tools/train.py configs/semfpn_fastvit_ma36.py --auto-scale-lr    # one GPU
Expected on ADE20K val: mIoU 44.6 (FastViT paper, Table 9), 53.1 GMACs at 512x512.
"""

_base_ = './_base_/semfpn_fastvit.py'

model = dict(
    backbone=dict(arch='ma36', init_cfg=dict(checkpoint='apple/fastvit_ma36')),
    neck=dict(in_channels=[76, 152, 304, 608]),
)

expected_results = [
    dict(metric='mIoU', value=44.6, tolerance=0.5, source='FastViT paper, Table 9'),
]
