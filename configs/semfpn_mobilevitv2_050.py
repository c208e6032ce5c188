"""Semantic FPN, MobileViTv2-0.5, ADE20K, 512x512, 40k iterations at batch 32 (8 GPUs x 4).

torchrun --nproc_per_node 8 tools/train.py configs/semfpn_mobilevitv2_050.py --launcher pytorch
python tools/train.py configs/semfpn_mobilevitv2_050.py --auto-scale-lr    # one GPU
Expected on ADE20K val: none published.
"""

_base_ = './_base_/semfpn_mobilevit.py'

model = dict(
    backbone=dict(arch='0.5', init_cfg=dict(checkpoint='timm/mobilevitv2_050.cvnets_in1k')),
    neck=dict(in_channels=[64, 128, 192, 256]),
)
