"""Semantic FPN, mmseg's ResNet-18, as semfpn_fastvit_t8.py beside it.

fastvit-dense train benchmarks/camvid/semfpn_resnet18.py --data CAMVID
"""

_base_ = './semfpn_fastvit_t8.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNetV1c',
        depth=18,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
