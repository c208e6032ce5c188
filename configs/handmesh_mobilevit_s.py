"""Hand mesh by pooled feature and MANO, MobileViT-S, FreiHAND, 224x224, 100 epochs at batch 256.

torchrun --nproc_per_node 8 tools/train.py configs/handmesh_mobilevit_s.py --launcher pytorch
python tools/train.py configs/handmesh_mobilevit_s.py --auto-scale-lr    # one GPU
Expected on FreiHAND's evaluation set: none published.
"""

_base_ = [
    './_base_/models/handmesh_fastvit.py',
    './_base_/datasets/freihand.py',
    './_base_/schedules/handmesh.py',
]

model = dict(
    # MobileViT takes 0-1 without a mean, here as RGB; files of networks for BGR are turned round.
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),
    backbone=dict(
        _delete_=True,
        type='MobileViT',
        arch='s',
        out_indices=(4,),
        out_norm='BN',  # not in the pretrained file
        # BatchNorm policy: plain BN, statistics updated; 32 images per GPU are enough for it.
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        frozen_stages=-1,
        dropout=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='timm/mobilevit_s.cvnets_in1k'),
    ),
    head=dict(in_channels=160),
)
