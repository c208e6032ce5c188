"""Hand mesh by joint tokens and MANO, FastViT-MA36, FreiHAND, 224x224, 100 epochs at batch 256.

torchrun --nproc_per_node 8 tools/train.py configs/handmesh_token_fastvit_ma36.py --launcher pytorch
python tools/train.py configs/handmesh_token_fastvit_ma36.py --auto-scale-lr    # one GPU
Expected on FreiHAND's evaluation set: none published.
Aim, not measured: PA-MPJPE at most 5.7 mm, F@5 .77.
"""

_base_ = [
    './_base_/models/handmesh_token_fastvit.py',
    './_base_/datasets/freihand.py',
    './_base_/schedules/handmesh.py',
]

model = dict(
    backbone=dict(arch='ma36', init_cfg=dict(checkpoint='apple/fastvit_ma36')),
    head=dict(in_channels=(152, 304, 608)),
)
