"""SSDLite, MobileViT-XXS, COCO, 320x320, 200 epochs at batch 128 (4 GPUs x 32).

torchrun --nproc_per_node 4 tools/train.py configs/ssdlite_mobilevit_xxs.py --launcher pytorch
python tools/train.py configs/ssdlite_mobilevit_xxs.py --auto-scale-lr    # one GPU
Expected on COCO val2017: box AP 19.9 (CVNets 0.1; the paper has no row of it).
"""

_base_ = './_base_/ssdlite_mobilevit.py'

model = dict(
    backbone=dict(
        arch='xxs', dropout=0.05, init_cfg=dict(checkpoint='timm/mobilevit_xxs.cvnets_in1k')
    ),
    neck=dict(in_channels=(64, 80)),
)

expected_results = [
    dict(
        metric='bbox_mAP',
        value=0.199,
        tolerance=0.003,
        source='CVNets 0.1, examples/README-mobilevit.md',
    ),
]
