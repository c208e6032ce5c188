"""DeepLabv3, MobileViT-S, PASCAL VOC 2012 with SBD, output stride 8, 512x512, batch 128.

torchrun --nproc_per_node 8 tools/train.py configs/deeplabv3_mobilevit_s_os8.py --launcher pytorch
python tools/train.py configs/deeplabv3_mobilevit_s_os8.py --auto-scale-lr    # one GPU
Expected on VOC 2012 val: mIoU 79.44 (CVNets 0.2), trained with pictures of COCO as well.
"""

_base_ = ['./_base_/models/deeplabv3_mobilevit_os8.py', './_base_/deeplabv3_voc12aug.py']

model = dict(
    backbone=dict(arch='s', init_cfg=dict(checkpoint='timm/mobilevit_s.cvnets_in1k')),
)

expected_results = [
    dict(metric='mIoU', value=79.44, tolerance=0.5, source='CVNets 0.2, README-model-zoo.md'),
]
