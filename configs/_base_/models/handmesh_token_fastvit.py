# The better head: joint-guided tokens from a 28 x 28 map (FPN over stages 2 to 4), a small
# transformer, one correction at the projected hand. Still MANO parameters out.
_base_ = './handmesh_fastvit.py'

model = dict(
    backbone=dict(out_indices=(1, 2, 3)),
    neck=dict(
        type='mmdet.FPN',
        in_channels=[128, 256, 512],
        out_channels=256,
        num_outs=3,
        norm_cfg=dict(type='BN'),
    ),
    head=dict(
        _delete_=True,
        type='ManoTokenHead',
        in_channels=256,
        embed_dims=256,
        num_blocks=3,
        num_heads=8,
    ),
    loss_weights=dict(keypoints=1.0),
)
