"""Mask R-CNN, FastViT-SA36, COCO, 1x (12 epochs, batch 16 = 8 GPUs x 2).

torchrun --nproc_per_node 8 tools/train.py configs/maskrcnn_fastvit_sa36.py --launcher pytorch
python tools/train.py configs/maskrcnn_fastvit_sa36.py --auto-scale-lr    # one GPU
Expected on COCO val2017: box AP 43.8, mask AP 39.4 (FastViT paper, Table 10; ImageNet-1k weights).
"""

_base_ = './_base_/maskrcnn_fastvit.py'

model = dict(
    backbone=dict(arch='sa36', init_cfg=dict(checkpoint='apple/fastvit_sa36')),
)

expected_results = [
    dict(metric='bbox_mAP', value=0.438, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='bbox_mAP_50', value=0.651, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='bbox_mAP_75', value=0.479, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP', value=0.394, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP_50', value=0.620, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP_75', value=0.423, tolerance=0.003, source='FastViT paper, Table 10'),
]
