"""DeepLabv3, MobileViT-S, ADE20K, output stride 8, 512x512, 63k iterations at batch 16.

torchrun --nproc_per_node 4 -m fastvit_dense train deeplabv3_mobilevit_s_ade20k --launcher pytorch
python tools/train.py configs/deeplabv3_mobilevit_s_ade20k.py --auto-scale-lr    # one GPU
Expected on ADE20K val: mIoU 38.5 (RangeAugment paper), with its learned augmentation.
"""

_base_ = './_base_/deeplabv3_mobilevit_ade20k.py'

model = dict(
    backbone=dict(arch='s', init_cfg=dict(checkpoint='timm/mobilevit_s.cvnets_in1k')),
    decode_head=dict(in_channels=160),
    auxiliary_head=dict(in_channels=128),
)

expected_results = [
    dict(metric='mIoU', value=38.5, tolerance=0.5, source='RangeAugment paper'),
]
