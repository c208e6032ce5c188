"""Semantic FPN, MobileCLIP2-S0 (MCi0), ADE20K, 512x512, 40k iterations at batch 32 (8 GPUs x 4).

torchrun --nproc_per_node 8 tools/train.py configs/semfpn_mobileclip2_s0.py --launcher pytorch
python tools/train.py configs/semfpn_mobileclip2_s0.py --auto-scale-lr    # one GPU
Expected on ADE20K val: none published.
"""

_base_ = './_base_/semfpn_fastvit.py'

model = dict(
    # MobileCLIP2-S0 takes RGB of 0-1, without ImageNet's mean and deviation.
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),
    backbone=dict(
        arch='mci0',
        init_cfg=dict(checkpoint='timm/fastvit_mci0.apple_mclip2_dfndr2b'),
    ),
)
