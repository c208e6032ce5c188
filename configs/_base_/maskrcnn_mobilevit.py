# Mask R-CNN on MobileViT with the schedule and heads of the FastViT configs: the two families in
# the same protocol. Nobody published numbers of it.
_base_ = './maskrcnn_fastvit.py'

model = dict(
    # MobileViT takes 0-1 without a mean, here as RGB; files of networks for BGR are turned round.
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0], bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='MobileViT',
        arch='s',
        out_indices=(1, 2, 3, 4),
        out_norm='BN',  # not in the pretrained file
        # BatchNorm policy: plain BN, statistics updated, as in the FastViT configs.
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        frozen_stages=-1,
        dropout=0.0,
        init_cfg=dict(type='Pretrained', checkpoint='timm/mobilevit_s.cvnets_in1k'),
    ),
    neck=dict(in_channels=[64, 96, 128, 160]),
)
