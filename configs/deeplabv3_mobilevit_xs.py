"""DeepLabv3, MobileViT-XS, PASCAL VOC 2012 with SBD, output stride 16, 512x512, batch 128.

torchrun --nproc_per_node 8 tools/train.py configs/deeplabv3_mobilevit_xs.py --launcher pytorch
python tools/train.py configs/deeplabv3_mobilevit_xs.py --auto-scale-lr    # one GPU
Expected on VOC 2012 val: mIoU 77.1 (MobileViT paper, Table 2),
trained with pictures of COCO as well.
"""

_base_ = ['./_base_/models/deeplabv3_mobilevit.py', './_base_/deeplabv3_voc12aug.py']

model = dict(
    backbone=dict(arch='xs', init_cfg=dict(checkpoint='timm/mobilevit_xs.cvnets_in1k')),
    decode_head=dict(in_channels=96),
)

expected_results = [
    dict(metric='mIoU', value=77.1, tolerance=0.5, source='MobileViT paper (ICLR 2022), Table 2'),
]
