# The recipe of the stronger peers, in place of the paper's: distilled ImageNet weights (named in
# each config; RepViT, EfficientFormer and SwiftFormer start from such), BatchNorm statistics frozen
# as in RepViT (scales and shifts learn), no new norms on the outputs. The lever beside it, on many
# GPUs: norm_eval=False, norm_cfg=dict(type='SyncBN').
_base_ = ['./maskrcnn_fastvit.py']

model = dict(backbone=dict(out_norm=None, norm_eval=True))
# weight_decay 0.05 as EfficientFormerV2 and RepViT in detection.
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
