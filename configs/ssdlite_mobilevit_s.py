"""SSDLite, MobileViT-S, COCO, 320x320, 200 epochs at batch 128 (4 GPUs x 32).

torchrun --nproc_per_node 4 tools/train.py configs/ssdlite_mobilevit_s.py --launcher pytorch
python tools/train.py configs/ssdlite_mobilevit_s.py --auto-scale-lr    # one GPU
Expected on COCO val2017: box AP 27.7 (MobileViT paper, Table 1), 27.9 (CVNets 0.1).
"""

_base_ = './_base_/ssdlite_mobilevit.py'

model = dict(
    backbone=dict(arch='s', init_cfg=dict(checkpoint='timm/mobilevit_s.cvnets_in1k')),
    neck=dict(in_channels=(128, 160)),
)

expected_results = [
    dict(
        metric='bbox_mAP',
        value=0.277,
        tolerance=0.003,
        source='MobileViT paper (ICLR 2022), Table 1',
    ),
]
