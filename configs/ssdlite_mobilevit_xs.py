"""SSDLite, MobileViT-XS, COCO, 320x320, 200 epochs at batch 128 (4 GPUs x 32).

torchrun --nproc_per_node 4 tools/train.py configs/ssdlite_mobilevit_xs.py --launcher pytorch
python tools/train.py configs/ssdlite_mobilevit_xs.py --auto-scale-lr    # one GPU
Expected on COCO val2017: box AP 24.8 (MobileViT paper, Table 1).
"""

_base_ = './_base_/ssdlite_mobilevit.py'

model = dict(
    backbone=dict(arch='xs', init_cfg=dict(checkpoint='timm/mobilevit_xs.cvnets_in1k')),
    neck=dict(in_channels=(80, 96)),
)

expected_results = [
    dict(
        metric='bbox_mAP',
        value=0.248,
        tolerance=0.003,
        source='MobileViT paper (ICLR 2022), Table 1',
    ),
]
