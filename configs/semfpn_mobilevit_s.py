"""Semantic FPN, MobileViT-S, ADE20K, 512x512, 40k iterations at batch 32 (8 GPUs x 4).

torchrun --nproc_per_node 8 tools/train.py configs/semfpn_mobilevit_s.py --launcher pytorch
python tools/train.py configs/semfpn_mobilevit_s.py --auto-scale-lr    # one GPU
Expected on ADE20K val: none published.
"""

_base_ = './_base_/semfpn_mobilevit.py'

model = dict(
    backbone=dict(arch='s', init_cfg=dict(checkpoint='timm/mobilevit_s.cvnets_in1k')),
)
