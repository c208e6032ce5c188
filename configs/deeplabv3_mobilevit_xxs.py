"""DeepLabv3, MobileViT-XXS, PASCAL VOC 2012 with SBD, output stride 16, 512x512, batch 128.

torchrun --nproc_per_node 8 tools/train.py configs/deeplabv3_mobilevit_xxs.py --launcher pytorch
python tools/train.py configs/deeplabv3_mobilevit_xxs.py --auto-scale-lr    # one GPU
Expected on VOC 2012 val: mIoU 73.6 (MobileViT paper, Table 2) or 72.8 (CVNets 0.1),
both trained with pictures of COCO as well.
"""

_base_ = ['./_base_/models/deeplabv3_mobilevit.py', './_base_/deeplabv3_voc12aug.py']

model = dict(
    backbone=dict(
        arch='xxs', dropout=0.05, init_cfg=dict(checkpoint='timm/mobilevit_xxs.cvnets_in1k')
    ),
    decode_head=dict(in_channels=80),
)

expected_results = [
    dict(metric='mIoU', value=73.6, tolerance=0.5, source='MobileViT paper (ICLR 2022), Table 2'),
]
