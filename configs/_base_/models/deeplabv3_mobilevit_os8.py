# DeepLabv3 on MobileViT at output stride 8 as CVNets 0.2 trains it: 512 channels, rates 12, 24 and
# 36, and an auxiliary head on the stage before the last. About four times the work of stride 16.
_base_ = './deeplabv3_mobilevit.py'

model = dict(
    backbone=dict(out_indices=(3, 4), output_stride=8),
    decode_head=dict(channels=512, dilations=(1, 12, 24, 36)),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=128,
        in_index=0,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
    ),
)
