"""Hand mesh by pooled feature and MANO, FastViT-MA36, FreiHAND, 224x224, 100 epochs at batch 256.

torchrun --nproc_per_node 8 tools/train.py configs/handmesh_fastvit_ma36.py --launcher pytorch
python tools/train.py configs/handmesh_fastvit_ma36.py --auto-scale-lr    # one GPU
Expected on FreiHAND's evaluation set: PA-MPJPE 6.6 mm, PA-MPVPE 6.7 mm, F@5 .722, F@15 .981
(FastViT paper, Table 8).
"""

_base_ = [
    './_base_/models/handmesh_fastvit.py',
    './_base_/datasets/freihand.py',
    './_base_/schedules/handmesh.py',
]

model = dict(
    backbone=dict(arch='ma36', init_cfg=dict(checkpoint='apple/fastvit_ma36')),
    head=dict(in_channels=608),
)

expected_results = [
    dict(metric='PA-MPJPE', value=6.6, tolerance=0.3, source='FastViT paper, Table 8'),
    dict(metric='PA-MPVPE', value=6.7, tolerance=0.3, source='FastViT paper, Table 8'),
    dict(metric='f_al_score_5', value=0.722, tolerance=0.02, source='FastViT paper, Table 8'),
    dict(metric='f_al_score_15', value=0.981, tolerance=0.005, source='FastViT paper, Table 8'),
]
