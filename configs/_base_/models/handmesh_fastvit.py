# The paper's kind of hand model: FastViT's last stage, pooled, to weak-perspective camera, MANO
# pose and shape. The paper (section 4.3) names the regression module, not its form; the feedback
# steps, 6D rotations and losses here are ours.
model = dict(
    type='HandMeshRegressor',
    # ImageNet's mean and deviation, on which the pretrained weights were trained (simpleHand's
    # x / 255 - 0.5 would waste part of them). Images come as BGR.
    data_preprocessor=dict(
        type='ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='FastViT',
        arch='sa24',
        out_indices=(3,),
        out_norm='BN',
        # BatchNorm policy: plain BN, statistics updated; 32 images per GPU are enough for it.
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        frozen_stages=-1,
        drop_path_rate=0.2,  # simpleHand's
        init_cfg=dict(type='Pretrained', checkpoint='apple/fastvit_sa24'),
    ),
    head=dict(type='ManoHead', in_channels=512, hidden_channels=1024, num_steps=3, dropout=0.1),
    # The user's own file, see data/README.md. dict(standin=True): the licence-free hand.
    mano=dict(path='data/mano/MANO_RIGHT.pkl'),
    loss_weights=dict(
        vertices=10.0, joints=10.0, orientation=10.0, reprojection=1.0, rotation=0.5, betas=0.02
    ),
    # True: the hand's true size (FreiHAND's *_scale.json, given at test time) fixes the depth.
    use_scale=False,
)
