# The better head: joint-guided tokens from a 28 x 28 map (top-down over stages 2 to 4), a small
# transformer, one correction at the projected hand. Still MANO parameters out.
_base_ = './handmesh_fastvit.py'

model = dict(
    backbone=dict(out_indices=(1, 2, 3)),
    head=dict(
        _delete_=True,
        type='ManoTokenHead',
        in_channels=(128, 256, 512),
        channels=256,
        hidden_channels=1024,
        num_blocks=2,
        num_heads=8,
    ),
    loss_weights=dict(keypoints=1.0),
)
