"""Mask R-CNN, FastViT-SA12, COCO, 1x (12 epochs, batch 16 = 8 GPUs x 2).

torchrun --nproc_per_node 8 tools/train.py configs/maskrcnn_fastvit_sa12.py --launcher pytorch
python tools/train.py configs/maskrcnn_fastvit_sa12.py --auto-scale-lr    # one GPU
Expected on COCO val2017: box AP 38.9, mask AP 35.9 (FastViT paper, Table 10; ImageNet-1k weights).
"""

_base_ = './_base_/maskrcnn_fastvit.py'

model = dict(
    backbone=dict(arch='sa12', init_cfg=dict(checkpoint='apple/fastvit_sa12')),
)

expected_results = [
    dict(metric='bbox_mAP', value=0.389, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='bbox_mAP_50', value=0.605, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='bbox_mAP_75', value=0.422, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP', value=0.359, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP_50', value=0.576, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP_75', value=0.381, tolerance=0.003, source='FastViT paper, Table 10'),
]
