"""Options whose key something reads are applied, others name the nearest key."""

import pytest

from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

MASK_RCNN = 'configs/maskrcnn_fastvit_t8.py'
SEMANTIC, HAND = 'configs/semfpn_fastvit_t8.py', 'configs/handmesh_fastvit_t8.py'


@pytest.mark.parametrize(
    ('option', 'nearest'),
    [
        ('train_cfg.max_epoch=3', 'train_cfg.max_epochs'),
        ('model.backbone.drop_path=0.1', 'model.backbone.drop_path_rate'),
        ('model.neck.in_channel=[1]', 'model.neck.in_channels'),
        ('optim_wrapper.optimizer.weight_decays=1', 'optim_wrapper.optimizer.weight_decay'),
        ('randomnes.seed=3', 'randomness'),
        ('val_evaluator.ann_fil=x', 'val_evaluator.ann_file'),
        ('train_dataloader.batchsize=4', 'train_dataloader.batch_size'),
        ('optim_wrapper.paramwise.x=4', 'optim_wrapper.paramwise_cfg'),
        ('optim_wrapper.clip_grad.maxnorm=4', 'optim_wrapper.clip_grad.max_norm'),
        ('randomness.determinstic=True', 'randomness.deterministic'),
        ('env_cfg.cudn_benchmark=True', 'env_cfg.cudnn_benchmark'),
        ('env_cfg.mp_cfg.mp_method=spawn', 'env_cfg.mp_cfg.mp_start_method'),
        ('default_hooks.checkpoints.interval=2', 'default_hooks.checkpoint'),
        ('default_hooks.checkpoint.intervall=2', 'default_hooks.checkpoint.interval'),
        (
            'train_dataloader.dataset.filter_cfg.minsize=3',
            'train_dataloader.dataset.filter_cfg.min_size',
        ),
        ('model.test_cfg.rcnn.score=0.1', 'model.test_cfg.rcnn.score_thr'),
    ],
)
def test_unknown_option_names_the_nearest_known_one(option, nearest):
    key = option.partition('=')[0]
    with raises_naming(ConfigError, '--cfg-options', key, 'nearest', nearest) as error:
        load_config(MASK_RCNN, cfg_options=[option])
    assert str(error.value).endswith(nearest)


@pytest.mark.parametrize(
    ('option', 'path', 'value'),
    [
        ('train_cfg.max_epochs=3', ('train_cfg', 'max_epochs'), 3),  # stands in the config
        ('model.backbone.with_cp=True', ('model', 'backbone', 'with_cp'), True),  # of the type
        ('optim_wrapper.clip_grad.max_norm=1', ('optim_wrapper', 'clip_grad', 'max_norm'), 1),
        ('val_evaluator.classwise=True', ('val_evaluator', 'classwise'), True),
        ('experiment_name=run', ('experiment_name',), 'run'),  # of mmengine's Runner
        ('train_dataloader.dataset.indices=8', ('train_dataloader', 'dataset', 'indices'), 8),
        ('train_dataloader.pin_memory=True', ('train_dataloader', 'pin_memory'), True),
        (
            'optim_wrapper.paramwise_cfg.norm_decay_mult=0',  # of mmengine's constructor
            ('optim_wrapper', 'paramwise_cfg', 'norm_decay_mult'),
            0,
        ),
        # of dicts without a type, read by the Runner or the type around
        ('randomness.deterministic=True', ('randomness', 'deterministic'), True),
        ('env_cfg.cudnn_benchmark=True', ('env_cfg', 'cudnn_benchmark'), True),
        ('env_cfg.mp_cfg.mp_start_method=spawn', ('env_cfg', 'mp_cfg', 'mp_start_method'), 'spawn'),
        ('env_cfg.dist_cfg.backend=gloo', ('env_cfg', 'dist_cfg', 'backend'), 'gloo'),
        ('auto_scale_lr.enable=True', ('auto_scale_lr', 'enable'), True),
        ('default_hooks.checkpoint.interval=2', ('default_hooks', 'checkpoint', 'interval'), 2),
        (
            'train_dataloader.dataset.filter_cfg.min_size=3',
            ('train_dataloader', 'dataset', 'filter_cfg', 'min_size'),
            3,
        ),
        (
            'model.test_cfg.rcnn.nms.class_agnostic=True',  # of mmcv's batched_nms
            ('model', 'test_cfg', 'rcnn', 'nms', 'class_agnostic'),
            True,
        ),
        ('model.backbone.norm_cfg=BN', ('model', 'backbone', 'norm_cfg'), 'BN'),  # a word or a dict
        ('train_dataloader.dataset.pipeline.3.scale=(64,64)', None, None),
    ],
)
def test_known_options_are_applied(option, path, value):
    cfg = load_config(MASK_RCNN, cfg_options=[option])
    if path is None:
        assert cfg.train_dataloader.dataset.pipeline[3].scale == (64, 64)
        return
    node = cfg
    for key in path:
        node = node[key]
    assert node == value


def test_windows_of_a_segmentor():
    options = ['mode=slide', 'crop_size=(512,512)', 'stride=(340,340)']
    cfg = load_config(SEMANTIC, cfg_options=[f'model.test_cfg.{option}' for option in options])
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(512, 512), stride=(340, 340))
    with raises_naming(ConfigError, 'model.test_cfg.crop', 'nearest', 'model.test_cfg.crop_size'):
        load_config(SEMANTIC, cfg_options=['model.test_cfg.crop=(512,512)'])
    with raises_naming(
        ConfigError, 'model.test_cfg.crop_size', 'unknown key'
    ):  # a detector has none
        load_config(MASK_RCNN, cfg_options=['model.test_cfg.crop_size=(512,512)'])


def test_stand_in_takes_the_place_of_the_file():
    """As the message on a missing file of MANO says."""
    assert load_config(HAND, cfg_options=['model.mano.standin=True']).model.mano == {
        'standin': True
    }
    cfg = load_config(HAND, cfg_options=['model.mano.standin=False'])
    assert cfg.model.mano.path
    with raises_naming(ConfigError, 'model.mano.standing', 'nearest', 'model.mano.standin'):
        load_config(HAND, cfg_options=['model.mano.standing=True'])
