"""Hand mesh by joint tokens and MANO, FastViT-T8, FreiHAND, 224x224, 100 epochs at batch 256.

torchrun --nproc_per_node 8 tools/train.py configs/handmesh_token_fastvit_t8.py --launcher pytorch
python tools/train.py configs/handmesh_token_fastvit_t8.py --auto-scale-lr    # one GPU
Expected on FreiHAND's evaluation set: none published.
"""

_base_ = [
    './_base_/models/handmesh_token_fastvit.py',
    './_base_/datasets/freihand.py',
    './_base_/schedules/handmesh.py',
]

model = dict(
    backbone=dict(arch='t8', init_cfg=dict(checkpoint='apple/fastvit_t8')),
    head=dict(in_channels=(96, 192, 384), channels=128),
)
