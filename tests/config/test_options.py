"""Reading configs: options, classes, pretrained files, tasks."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from fastvit_dense.config.classes import set_num_classes
from fastvit_dense.config.loaders import dataset_classes, datasets_of
from fastvit_dense.config.options import parse_options
from fastvit_dense.config.reading import remove_pretrained
from fastvit_dense.config.types import find_type
from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks import task_of
from fastvit_dense.tasks.config import load_config
from fastvit_dense.tasks.evaluators import use_own_metrics

MASK_RCNN = 'configs/maskrcnn_fastvit_t8.py'
SEMANTIC, HAND = 'configs/semfpn_fastvit_t8.py', 'configs/handmesh_fastvit_t8.py'
CONFIGS = sorted(path.stem for path in Path(__file__).parents[2].glob('configs/*.py'))


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)


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
    with pytest.raises(ConfigError, match='unknown key') as error:
        load_config(MASK_RCNN, cfg_options=[option])
    assert str(error.value).endswith(nearest)
    assert option.partition('=')[0] in str(error.value)


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
    with pytest.raises(ConfigError, match=r'nearest known one is model\.test_cfg\.crop_size$'):
        load_config(SEMANTIC, cfg_options=['model.test_cfg.crop=(512,512)'])
    with pytest.raises(ConfigError, match="unknown key 'crop_size'"):  # a detector has none
        load_config(MASK_RCNN, cfg_options=['model.test_cfg.crop_size=(512,512)'])


def test_stand_in_takes_the_place_of_the_file():
    """As the message on a missing file of MANO says."""
    assert load_config(HAND, cfg_options=['model.mano.standin=True']).model.mano == {
        'standin': True
    }
    cfg = load_config(HAND, cfg_options=['model.mano.standin=False'])
    assert cfg.model.mano.path
    with pytest.raises(ConfigError, match=r'nearest known one is model\.mano\.standin$'):
        load_config(HAND, cfg_options=['model.mano.standing=True'])


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        ('model.backbone=FastViT', 'a dict'),
        ('model.backbone=[1,2]', 'a dict'),
        ('model.neck=3', 'a dict'),
        ('model=x', 'a dict'),
        ('train_cfg=3', 'a dict'),
        ('default_hooks.logger=x', 'a dict'),
        ('val_evaluator=x', 'a dict'),
        ('optim_wrapper.optimizer=SGD', 'a dict'),
        ('train_dataloader.dataset=x', 'a dict'),
        # not in the config: by the annotation of the type, or of mmengine's Runner
        ('train_dataloader.dataset.metainfo=x', 'a dict'),
        ('model.init_cfg=3', 'a dict'),
        ('env_cfg=3', 'a dict'),
        ('train_dataloader.dataset.pipeline=x', 'a list of dicts'),
        ('param_scheduler=fast', 'a list of dicts'),
        ('custom_hooks=[a,b]', 'a list of dicts'),
        # dicts, and brackets that do not close
        ("model.test_cfg={'mode':'slide','crop_size':(512,512)}", 'one option for each key of a'),
        ("train_cfg.max_epochs={'a':1}", 'one option for each key of a dict'),
        ("param_scheduler=[{'type':'LinearLR'}]", 'one option for each key of a dict'),
        ("optim_wrapper.optimizer=dict(type='SGD',lr=1)", 'one option for each key of a dict'),
        ('model.neck.in_channels=[1,2', 'a number, a word'),
        ('model.neck.in_channels=1,(2', 'a number, a word'),
    ],
)
def test_values_of_another_kind(option, expected):
    with pytest.raises(ConfigError) as error:
        load_config(MASK_RCNN, cfg_options=[option])
    message = str(error.value)
    assert '\n' not in message
    assert message.startswith(f'--cfg-options {option.partition("=")[0]}: expected {expected}')


@pytest.mark.parametrize('value', [dict(a=1), dict(type='FPN')])
def test_dicts_for_single_values(value):
    """From Python; a list of dicts may stand for a dict, and None for anything."""
    for key in ('train_cfg.max_epochs', 'model.neck.in_channels'):
        with pytest.raises(ConfigError, match=f'^--cfg-options {key}: '):
            load_config(MASK_RCNN, cfg_options={key: value})
    options = {'test_evaluator': [dict(type='CocoMetric')], 'model.neck': None}
    cfg = load_config(MASK_RCNN, cfg_options=options)
    assert cfg.test_evaluator == [dict(type='CocoMetric')]
    assert cfg.model.neck is None


@pytest.mark.parametrize(
    ('text', 'place'),
    [
        ("model = dict(_delete_=True, backbone='FastViT')", r'model\.backbone'),
        ('randomness = 3', 'randomness'),
        ("param_scheduler = 'fast'", 'param_scheduler'),
        ("train_dataloader = dict(dataset='coco')", r'train_dataloader\.dataset'),
        (
            "train_dataloader = dict(dataset=dict(metainfo='x'))",
            r'train_dataloader\.dataset\.metainfo',
        ),
    ],
)
@pytest.mark.parametrize('sample', [False, True])
def test_values_of_another_kind_in_a_file(text, place, sample, root_dir, tmp_path):
    path = tmp_path / 'config.py'
    base = 'semfpn_fastvit_t8.py' if 'dataset' in text else 'maskrcnn_fastvit_t8.py'
    path.write_text(f'_base_ = {str(root_dir / "configs" / base)!r}\n{text}\n')
    with pytest.raises(ConfigError, match=rf'config\.py: (\S+ )?{place}: .*expected'):
        load_config(path, sample=sample)


def test_parameters_of_a_type_that_is_set_beside_them():
    options = ['optim_wrapper.loss_scale=dynamic', 'optim_wrapper.type=AmpOptimWrapper']
    cfg = load_config(MASK_RCNN, cfg_options=options)
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')
    with pytest.raises(ConfigError, match="'loss_scale' of OptimWrapper"):
        load_config(MASK_RCNN, cfg_options=options[:1])


def test_dict_that_is_emptied_first():
    """For another type without the arguments of the one before, in any order of the options."""
    options = ['lr=0.1', 'type=SGD', '_delete_=True']
    options = [f'optim_wrapper.optimizer.{option}' for option in options]
    for given in (options, options[::-1]):
        assert load_config(MASK_RCNN, cfg_options=given).optim_wrapper == dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)
        )
    cfg = load_config(MASK_RCNN, cfg_options=options[2:])
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW')
    for option in ('_delete_=True', 'optim_wrapper.optimiser._delete_=True'):
        with pytest.raises(ConfigError, match='unknown key'):
            load_config(MASK_RCNN, cfg_options=[option])
    with pytest.raises(ConfigError, match='_delete_: expected True, found 1'):
        load_config(MASK_RCNN, cfg_options=['optim_wrapper.optimizer._delete_=1'])


@pytest.mark.parametrize(
    'option', ['novalue', '=3', 'train_cfg.max_epochs.x=1', 'model.neck.in_channels.9=1']
)
def test_malformed_options_are_refused(option):
    with pytest.raises(ConfigError, match='--cfg-options'):
        load_config(MASK_RCNN, cfg_options=[option])


def test_options_are_read_as_mmengine_reads_them():
    options = ['a=1', 'b=1e-3', 'c=text', 'd=[1,2]', 'e=(1,2)', 'f=True', 'g=None', 'h=a=b']
    assert parse_options(options) == {
        'a': 1,
        'b': 1e-3,
        'c': 'text',
        'd': [1, 2],
        'e': (1, 2),
        'f': True,
        'g': None,
        'h': 'a=b',
    }


def test_missing_and_broken_config_files(tmp_path):
    with pytest.raises(ConfigError, match=r'did you mean .*maskrcnn_fastvit_sa24\.py'):
        load_config('configs/maskrcnn_fastvit_sa25.py')
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict(\n')
    with pytest.raises(ConfigError, match=r'broken\.py'):
        load_config(broken)
    for name, text, message in (
        ('mine.py', 'model = dict()\nlr = 1 / 0\n', r'ZeroDivisionError: .*mine\.py, line 2\)'),
        ('zoo.py', "_base_ = 'mmdett::rtmdet/x.py'", 'mmdett'),
        ('mine.json', '{"model": {"type"', 'JSONDecodeError'),
        ('README.md', '# Title', 'py/yml/yaml/json'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=f'{name}: cannot be read: .*{message}'):
            load_config(tmp_path / name)
    with pytest.raises(ConfigError, match=r'common\.py: no model in it'):
        load_config('configs/_base_/common.py')


def test_classes_of_the_training_dataset_reach_heads_and_other_datasets():
    cfg = load_config(
        MASK_RCNN, cfg_options=['train_dataloader.dataset.metainfo.classes=(cat,dog,cup)']
    )
    assert cfg.model.roi_head.bbox_head.num_classes == 3
    assert cfg.model.roi_head.mask_head.num_classes == 3
    for dataset in datasets_of(cfg):
        assert dataset_classes(dataset, 'mmdet') == ('cat', 'dog', 'cup')


def test_one_class_given_as_a_string():
    cfg = load_config(MASK_RCNN, cfg_options=['train_dataloader.dataset.metainfo.classes=cat'])
    assert cfg.model.roi_head.bbox_head.num_classes == 1
    assert dataset_classes(next(datasets_of(cfg)), 'mmdet') == ('cat',)


def test_number_of_classes_reaches_class_weights():
    model = dict(
        panoptic_head=dict(
            num_things_classes=80,
            num_stuff_classes=0,
            loss_cls=dict(class_weight=[1.0] * 80 + [0.1]),
        ),
        stages=[dict(num_classes=80), dict(num_classes=80)],
    )
    set_num_classes(model, 2)
    head = model['panoptic_head']
    assert (head['num_things_classes'], head['num_stuff_classes']) == (2, 0)
    assert head['loss_cls']['class_weight'] == [1.0, 1.0, 0.1]
    assert [stage['num_classes'] for stage in model['stages']] == [2, 2]


def test_a_checkpoint_that_follows_drops_the_pretrained_file():
    assert load_config(MASK_RCNN).model.backbone.init_cfg.checkpoint == 'apple/fastvit_t8'
    assert load_config(MASK_RCNN, pretrained=False).model.backbone.init_cfg is None
    model = dict(pretrained='x', neck=[dict(init_cfg=dict(type='Pretrained', checkpoint='y'))])
    remove_pretrained(model)
    assert model == dict(pretrained=None, neck=[dict(init_cfg=None)])


def test_wrapped_datasets_are_found():
    inner = [dict(type='CocoDataset', data_root=str(i)) for i in range(3)]
    loader = dict(
        dataset=dict(
            type='RepeatDataset',
            dataset=dict(
                type='ConcatDataset',
                datasets=[dict(type='ClassBalancedDataset', dataset=inner[0]), *inner[1:]],
            ),
        )
    )
    cfg = Config(dict(train_dataloader=loader))
    assert [d.data_root for d in datasets_of(cfg)] == ['0', '1', '2']


def test_metrics_of_the_model_zoos_become_ours():
    """With their arguments; what ours do not score stays theirs."""
    zoo = dict(type='CocoMetric', ann_file='a.json', metric=['bbox', 'segm'], use_mp_eval=True)
    for theirs, ours in (
        (zoo, dict(type='InstanceMetric', ann_file='a.json', metric=['bbox', 'segm'])),
        (dict(type='mmseg.IoUMetric', iou_metrics=['mIoU']), dict(type='SemanticMetric')),
        (dict(type='CocoMetric', metric='proposal'), dict(type='CocoMetric')),
        (dict(type='CityscapesMetric'), dict(type='CityscapesMetric')),
    ):
        dataset = 'BaseSegDataset' if 'IoU' in theirs['type'] else 'CocoDataset'
        cfg = Config(
            dict(
                default_scope='mmseg' if 'Seg' in dataset else 'mmdet',
                test_dataloader=dict(dataset=dict(type=dataset)),
                test_evaluator=theirs,
            )
        )
        use_own_metrics(cfg)
        assert cfg.test_evaluator == {
            k: v for k, v in {**theirs, **ours}.items() if k != 'use_mp_eval'
        }


def test_tasks_are_told_by_the_dataset():
    assert task_of(load_config(MASK_RCNN)).name == 'instance'
    assert task_of(load_config('configs/semfpn_fastvit_t8.py')).name == 'semantic'
    assert task_of(load_config('configs/handmesh_fastvit_t8.py')).name == 'hand'
    with pytest.raises(ConfigError, match='no dataset'):
        task_of(Config(dict(model=dict())))


@pytest.mark.parametrize('arch', ['t8', 't12', 's12', 'sa12', 'sa24', 'sa36', 'ma36'])
@pytest.mark.parametrize('head', ['maskrcnn', 'semfpn'])
def test_configs_agree_with_the_backbone(head, arch):
    """in_channels of the neck are the backbone's, BN policy, decay and weights are explicit."""
    from fastvit_dense import FastViT

    cfg = load_config(f'configs/{head}_fastvit_{arch}.py')
    backbone = cfg.model.backbone
    assert backbone.arch == arch
    assert backbone.init_cfg.checkpoint == f'apple/fastvit_{arch}'
    settings = {k: v for k, v in backbone.items() if k not in ('type', 'init_cfg')}
    with torch.device('meta'):
        out_channels = FastViT(**settings).out_channels
    assert tuple(cfg.model.neck.in_channels) == out_channels
    assert {'norm_cfg', 'norm_eval', 'out_norm', 'drop_path_rate'} <= set(backbone)
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4


# functions and layers that mmdet and mmengine find by name outside of registries
UNREGISTERED = {'Pretrained', 'RoIAlign', 'nms'}


def types_in(node):
    """Every name of a type in a config."""
    if isinstance(node, list | tuple):
        return {name for child in node for name in types_in(child)}
    if not isinstance(node, dict):
        return set()
    named = {node[key] for key in ('type', 'ema_type') if isinstance(node.get(key), str)}
    return named.union(*map(types_in, node.values()))


@pytest.mark.parametrize('name', CONFIGS)
def test_every_type_of_a_config_is_registered(name):
    """As it is trained, not with `--sample`: hooks and schedules of the full recipe, too."""
    cfg = load_config(f'configs/{name}.py')
    names = types_in(cfg.to_dict()) - UNREGISTERED
    assert {'FastViT', 'AdamW', 'SeedHook', 'LoggerHook', 'SeedSample'} <= names
    assert [name for name in sorted(names) if find_type(name, cfg.default_scope) is None] == []


def test_paper_values_stand_in_the_configs():
    """FastViT paper, Tables 9 and 10."""
    boxes = {'sa12': 0.389, 'sa24': 0.420, 'sa36': 0.438, 'ma36': 0.451}
    masks = {'sa12': 0.359, 'sa24': 0.380, 'sa36': 0.394, 'ma36': 0.405}
    semantic = {'sa12': 38.0, 'sa24': 41.0, 'sa36': 42.9, 'ma36': 44.6}
    for arch in ('t8', 't12', 's12'):
        assert 'expected_results' not in load_config(f'configs/maskrcnn_fastvit_{arch}.py')
    for arch in boxes:
        cfg = load_config(f'configs/maskrcnn_fastvit_{arch}.py')
        expected = {e['metric']: e['value'] for e in cfg.expected_results}
        assert expected['bbox_mAP'] == boxes[arch]
        assert expected['segm_mAP'] == masks[arch]
        cfg = load_config(f'configs/semfpn_fastvit_{arch}.py')
        assert [e['value'] for e in cfg.expected_results] == [semantic[arch]]
