"""Mask R-CNN, MobileViTv2-1.0, COCO, 1x (12 epochs, batch 16 = 8 GPUs x 2).

torchrun --nproc_per_node 8 tools/train.py configs/maskrcnn_mobilevitv2_100.py --launcher pytorch
python tools/train.py configs/maskrcnn_mobilevitv2_100.py --auto-scale-lr    # one GPU
Expected on COCO val2017: none published.
"""

_base_ = './_base_/maskrcnn_mobilevit.py'

model = dict(
    # multiples of 64: the second version rounds its maps up to even sizes
    data_preprocessor=dict(pad_size_divisor=64),
    backbone=dict(arch='1.0', init_cfg=dict(checkpoint='timm/mobilevitv2_100.cvnets_in1k')),
    neck=dict(in_channels=[128, 256, 384, 512]),
)
