"""DeepLabv3, MobileViT-XS, ADE20K, output stride 8, 512x512, 63k iterations at batch 16.

torchrun --nproc_per_node 4 -m fastvit_dense train deeplabv3_mobilevit_xs_ade20k --launcher pytorch
python tools/train.py configs/deeplabv3_mobilevit_xs_ade20k.py --auto-scale-lr    # one GPU
Expected on ADE20K val: none published.
"""

_base_ = './_base_/deeplabv3_mobilevit_ade20k.py'

model = dict(
    backbone=dict(arch='xs', init_cfg=dict(checkpoint='timm/mobilevit_xs.cvnets_in1k')),
    decode_head=dict(in_channels=96),
    auxiliary_head=dict(in_channels=80),
)
