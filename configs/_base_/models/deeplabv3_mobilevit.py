# DeepLabv3 on MobileViT at output stride 16, as the paper trains it and as its weights are
# published: 256 channels, rates 6, 12 and 18. 21 classes are VOC's.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    # MobileViT takes 0-1 without a mean, here as RGB; files of networks for BGR are turned round.
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[0.0, 0.0, 0.0],
        std=[255.0, 255.0, 255.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type='MobileViT',
        arch='s',
        out_indices=(4,),
        output_stride=16,
        # The original dilates the convolutions of its inverted residuals only.
        block_dilation=False,
        out_norm=None,
        # BatchNorm policy: synchronised, statistics updated; plain BN where there is one process.
        norm_cfg=norm_cfg,
        norm_eval=False,
        frozen_stages=-1,
        dropout=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='timm/mobilevit_s.cvnets_in1k'),
    ),
    # mmseg's ASPP with a 1x1 projection, as in the paper of DeepLabv3; mmseg's own is 3x3.
    decode_head=dict(
        type='DeepLabV3Head',
        in_channels=160,
        channels=256,
        dilations=(1, 6, 12, 18),
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
