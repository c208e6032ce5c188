"""Mask R-CNN, FastViT-MA36, COCO, 1x (12 epochs, batch 16 = 8 GPUs x 2).

torchrun --nproc_per_node 8 tools/train.py configs/maskrcnn_fastvit_ma36.py --launcher pytorch
python tools/train.py configs/maskrcnn_fastvit_ma36.py --auto-scale-lr    # one GPU
Expected on COCO val2017: box AP 45.1, mask AP 40.5 (FastViT paper, Table 10; ImageNet-1k weights).
"""

_base_ = './_base_/maskrcnn_fastvit.py'

model = dict(
    backbone=dict(arch='ma36', init_cfg=dict(checkpoint='apple/fastvit_ma36')),
    neck=dict(in_channels=[76, 152, 304, 608]),
)

expected_results = [
    dict(metric='bbox_mAP', value=0.451, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='bbox_mAP_50', value=0.668, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='bbox_mAP_75', value=0.495, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP', value=0.405, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP_50', value=0.638, tolerance=0.003, source='FastViT paper, Table 10'),
    dict(metric='segm_mAP_75', value=0.434, tolerance=0.003, source='FastViT paper, Table 10'),
]
