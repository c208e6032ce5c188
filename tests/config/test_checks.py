"""Settings that cannot be right are told before anything is built or read."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from fastvit_dense import FastViT, engine, load_model
from fastvit_dense.config.checks import (
    check_channels,
    check_pretrained,
    check_settings,
    check_test_cfg,
)
from fastvit_dense.errors import CheckpointError, ConfigError
from fastvit_dense.tasks.config import load_config
from tests.facts import assert_names, raises_naming

CONFIGS = sorted(path.stem for path in Path(__file__).parents[2].glob('configs/*.py'))
INSTANCE, SEMANTIC = 'maskrcnn_fastvit_sa24', 'semfpn_fastvit_sa24'
REGRESSED, TOKENS = 'handmesh_fastvit_sa24', 'handmesh_token_fastvit_sa24'
# FastViT paper, Table 1
T8, SA24 = '[48, 96, 192, 384]', '[64, 128, 256, 512]'


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)


def read(name, *options):
    return load_config(f'configs/{name}.py', cfg_options=options)


def one_line(check, *arguments):
    """The message of the ConfigError that a check raises."""
    with pytest.raises(ConfigError) as error:
        check(*arguments)
    assert '\n' not in str(error.value)
    return str(error.value)


# --- channels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'options', 'field', 'expected', 'found'),
    [
        (INSTANCE, ['model.backbone.arch=t8'], 'neck', T8, SA24),
        (SEMANTIC, ['model.backbone.arch=t8'], 'neck', T8, SA24),
        (REGRESSED, ['model.backbone.arch=t8'], 'head', '384', '512'),
        (TOKENS, ['model.backbone.arch=t8'], 'head', T8.replace('48, ', ''), '[128, 256, 512]'),
        (INSTANCE, ['model.neck.in_channels=[1,2,3,4]'], 'neck', SA24, '[1, 2, 3, 4]'),
        (INSTANCE, ['model.neck.in_channels=512'], 'neck', SA24, '512'),
        (INSTANCE, ['model.backbone.out_indices=(1,2,3)'], 'neck', '[128, 256, 512]', SA24),
        (SEMANTIC, ['model.neck.in_channels=[64,128,256]'], 'neck', SA24, '[64, 128, 256]'),
        (REGRESSED, ['model.backbone.out_indices=(2,)'], 'head', '256', '512'),
        (REGRESSED, ['model.head.in_channels=[512]'], 'head', '512', '[512]'),
        (TOKENS, ['model.head.in_channels=512'], 'head', '[128, 256, 512]', '512'),
    ],
)
def test_channels_that_are_not_the_backbones(name, options, field, expected, found):
    message = one_line(check_channels, read(name, *options))
    start = f'configs/{name}.py: model.{field}.in_channels: expected {expected}, because '
    assert message.startswith(start)
    assert message.endswith(f', found {found}')
    assert re.search(r"model\.backbone \(arch='(t8|sa24)', out_indices=[\[(]", message)


@pytest.mark.parametrize('name', CONFIGS)
def test_configs_of_the_project_pass(name):
    cfg = read(name)
    check_channels(cfg)
    check_settings(cfg)
    check_pretrained(cfg)
    check_test_cfg(cfg)


@pytest.mark.parametrize('arch', ['t8', 'ma36', 'mci3'])
@pytest.mark.parametrize('indices', [(0, 1, 2, 3), (1, 3), (2,)])
def test_expected_channels_are_those_of_the_network(arch, indices):
    with torch.device('meta'):
        channels = list(FastViT(arch, out_indices=indices, out_norm=None).out_channels)
    cfg = read(INSTANCE)
    cfg.model.backbone.update(arch=arch, out_indices=indices)
    cfg.model.neck.in_channels = channels
    check_channels(cfg)
    cfg.model.neck.in_channels = [c + 1 for c in channels]
    assert f'expected {channels}, because' in one_line(check_channels, cfg)


def decode_head(**settings):
    """A segmentor of mmseg's whose head reads the backbone."""
    return Config(
        dict(
            default_scope='mmseg',
            model=dict(backbone=dict(type='FastViT'), decode_head=dict(**settings)),
        )
    )


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        (dict(type='FCNHead', in_channels=512), None),
        (dict(type='FCNHead', in_channels=256), '512'),
        (dict(type='FCNHead', in_channels=256, in_index=2), None),
        (dict(type='FCNHead', in_channels=512, in_index=2), '256'),
        (dict(type='FPNHead', in_channels=[64, 128, 256, 512], in_index=[0, 1, 2, 3]), None),
        (dict(type='FPNHead', in_channels=[64, 256], in_index=[0, 1]), '[64, 128]'),
    ],
)
def test_heads_that_pick_maps(settings, expected):
    cfg = decode_head(**settings)
    if expected is None:
        check_channels(cfg)
        return
    assert f'decode_head.in_channels: expected {expected}, ' in one_line(check_channels, cfg)


@pytest.mark.parametrize('index', [4, [0, 1, 2, 4], 'all'])
def test_heads_that_pick_maps_which_are_not_there(index):
    cfg = decode_head(type='FPNHead', in_channels=[64, 128, 256, 512], in_index=index)
    message = one_line(check_channels, cfg)
    assert message.endswith(f'decode_head.in_index: expected numbers of the 4 maps, found {index}')


def test_models_that_are_not_checked():
    """Another backbone, heads behind a neck, a neck that tells nothing, settings told elsewhere."""
    neck, backbone = dict(type='FPN', in_channels=[1, 2]), dict(type='FastViT', arch='t8')
    for model in (
        dict(backbone=dict(type='ResNet', depth=50), neck=neck),
        dict(backbone=backbone, neck=dict(type='FPN'), rpn_head=dict(in_channels=7)),
        dict(backbone=dict(type='FastViT', arch='t9'), neck=neck),
        dict(backbone=dict(type='FastViT', out_indices=(7,)), neck=neck),
        dict(backbone=None, neck=neck),
        dict(type='Exported'),
    ):
        check_channels(Config(dict(default_scope='mmdet', model=model)))


def test_other_places_of_a_model():
    """A model inside another; the first of several necks; a neck that counts from the coarsest."""
    neck = dict(type='FPN', in_channels=[1, 2, 3, 4])
    inner = dict(backbone=dict(type='FastViT', arch='t8'), neck=[neck, dict(in_channels=9)])
    cfg = Config(dict(default_scope='mmdet', model=dict(detector=inner)))
    assert f'model.detector.neck.0.in_channels: expected {T8}, ' in one_line(check_channels, cfg)
    inner['neck'] = dict(type='YOLOV3Neck', num_scales=3, in_channels=[384, 192, 96])
    inner['backbone']['out_indices'] = (1, 2, 3)
    check_channels(Config(dict(default_scope='mmdet', model=inner)))


@pytest.mark.integration
@pytest.mark.parametrize('task', ['train', 'test', 'predict'])
def test_every_way_to_build_a_model_is_checked(task, tiny_semantic, random_semantic, tmp_path):
    options = ['model.backbone.arch=sa12']
    work = dict(cfg_options=options, work_dir=str(tmp_path))
    checkpoint = str(random_semantic)
    ways = {
        'train': lambda: engine.train(tiny_semantic, **work),
        'test': lambda: engine.evaluate_checkpoint(tiny_semantic, checkpoint, **work),
        'predict': lambda: load_model(load_config(tiny_semantic, cfg_options=options), checkpoint),
    }
    message = one_line(ways[task])
    assert f'model.neck.in_channels: expected {SA24}, because' in message
    assert {path.name for path in tmp_path.iterdir()} <= {'.lock'}


class Foreign(nn.Module):
    """A backbone that states its channels by the contract, or otherwise."""

    def __init__(self, **stated) -> None:
        super().__init__()
        for name, value in stated.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ('stated', 'known'),
    [
        (dict(out_channels=(64, 128), out_strides=(4, 8)), True),
        (dict(out_channels=(64, 128)), False),
        (dict(out_channels=128, out_strides=8), False),
        (dict(out_channels=(64, 128), out_strides=(4,)), False),
        (dict(), False),
    ],
)
def test_another_backbone_is_asked_once_it_is_built(stated, known):
    neck = dict(type='FPN', in_channels=[64, 256])
    settings = dict(backbone=dict(type='ResNet', depth=18), neck=neck)
    cfg = Config(dict(default_scope='mmdet', model=settings))
    model = nn.ModuleDict({'backbone': Foreign(**stated)})
    check_channels(cfg)
    if known:
        message = one_line(check_channels, cfg, model)
        assert 'model.neck.in_channels: expected [64, 128], because model.backbone (' in message
    else:
        check_channels(cfg, model)


# --- windows of segmentors ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ('settings', 'field'),
    [
        (dict(mode='whole'), None),
        (dict(mode='whole', crop_size=(9,)), None),  # not read
        (dict(mode='slide', crop_size=(512, 512), stride=(340, 340)), None),
        (dict(mode='slide', crop_size=[512, 256], stride=[512, 256]), None),
        (dict(), 'mode'),
        (dict(mode='slid'), 'mode'),
        (dict(mode='slide'), 'crop_size'),
        (dict(mode='slide', crop_size=(512, 512)), 'stride'),
        (dict(mode='slide', crop_size=512, stride=(340, 340)), 'crop_size'),
        (dict(mode='slide', crop_size=(512,), stride=(340, 340)), 'crop_size'),
        (dict(mode='slide', crop_size=(512, 512), stride=(340, 340, 340)), 'stride'),
        (dict(mode='slide', crop_size=(512, 512), stride=(0, 340)), 'stride'),
        (dict(mode='slide', crop_size=(512, -1), stride=(340, 340)), 'crop_size'),
        (dict(mode='slide', crop_size=(512, 512.0), stride=(340, 340)), 'crop_size'),
        (dict(mode='slide', crop_size=(512, 256), stride=(340, 340)), 'stride'),
    ],
)
def test_windows(settings, field):
    cfg = read(SEMANTIC)
    cfg.model.test_cfg = settings
    if field is None:
        check_test_cfg(cfg)
        return
    message = one_line(check_test_cfg, cfg)
    assert message.startswith(f'configs/{SEMANTIC}.py: model.test_cfg.{field}: expected ')


def test_models_without_windows():
    check_test_cfg(read(INSTANCE))
    check_test_cfg(read(REGRESSED))
    cfg = read(SEMANTIC, 'model.test_cfg=None')
    assert 'model.test_cfg: expected a dict' in one_line(check_test_cfg, cfg)


@pytest.mark.integration
def test_windows_are_told_before_data_is_read(tiny_semantic, monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError('data was read')

    monkeypatch.setattr('fastvit_dense.engine.build.quick_check', refuse)
    with raises_naming(ConfigError, 'model.test_cfg.crop_size', 'expected'):
        engine.train(
            tiny_semantic, work_dir=str(tmp_path), cfg_options=['model.test_cfg.mode=slide']
        )


# --- numbers and keys --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('option', 'least'),
    [
        ('train_dataloader.batch_size=many', 1),
        ('train_dataloader.batch_size=0', 1),
        ('train_dataloader.batch_size=[2]', 1),
        ('val_dataloader.num_workers=x', 0),
        ('train_dataloader.num_workers=-1', 0),
        ('test_dataloader.num_workers=True', 0),
        ('train_cfg.max_epochs=abc', 1),
        ('train_cfg.max_epochs=1.5', 1),
        ('train_cfg.max_epochs=0', 1),
        ('train_cfg.val_interval=0', 1),
    ],
)
def test_numbers_that_are_none(option, least):
    field, _, value = option.partition('=')
    cfg = read(INSTANCE, option)
    message = one_line(check_settings, cfg)
    assert message.startswith(f'configs/{INSTANCE}.py: {field}: expected a whole number of at ')
    assert re.search(rf"at least {least}, found '?{re.escape(value)}'?$", message)


@pytest.mark.parametrize(
    'field', ['param_scheduler.0.start_factor', 'default_hooks.checkpoint.interval']
)
def test_words_where_training_counts(field):
    message = one_line(check_settings, read(INSTANCE, f'{field}=often'))
    kind = 'LinearLR' if field.startswith('param') else 'CheckpointHook'
    assert message.endswith(f": {field}: {kind} expects a number, found 'often'")


@pytest.mark.parametrize('place', ['train_dataloader', 'train_cfg', 'optim_wrapper'])
@pytest.mark.parametrize('value', [None, 3])
def test_dicts_that_training_needs(place, value):
    cfg = read(INSTANCE)
    cfg[place] = value
    message = one_line(check_settings, cfg)
    assert message == (
        f'configs/{INSTANCE}.py: {place}: expected a dict, which training needs, found {value}'
    )
    check_settings(cfg, ['test_dataloader'])


def test_dataloader_that_is_no_dict():
    message = one_line(lambda: read(INSTANCE, 'train_dataloader=3'))
    assert message.endswith(' train_dataloader: expected a dict, found 3')


@pytest.mark.parametrize('place', ['env_cfg', 'randomness'])
def test_settings_of_the_runner_that_are_none(place):
    message = one_line(check_settings, read(INSTANCE, f'{place}=None'))
    assert f'{place}: expected a dict, found None' in message


@pytest.mark.parametrize(
    ('option', 'facts'),
    [
        ('size=512', ['size', 'height, width', 'found', 512]),
        ('size=[0,0]', ['size', 'height, width', 'found', [0, 0]]),
        ('size=[64]', ['size', 'found', [64]]),
        ('std=[0,0,0]', ['std', 'other than 0', 'found', [0, 0, 0]]),
        ('std=[1,x,1]', ['std', 'other than 0', 'found', "[1, 'x', 1]"]),
    ],
)
def test_what_pictures_cannot_be_divided_by_or_padded_to(option, facts):
    cfg = read(SEMANTIC, f'model.data_preprocessor.{option}')
    assert_names(one_line(check_settings, cfg), 'model.data_preprocessor', *facts)


def test_seed_that_is_no_number():
    message = one_line(check_settings, read(INSTANCE, 'randomness.seed=abc'))
    assert message.endswith("randomness.seed: expected a whole number or None, found 'abc'")
    for seed in (-1, 2**32):
        message = one_line(check_settings, read(INSTANCE, f'randomness.seed={seed}'))
        assert message.endswith(f'randomness.seed: expected 0 to {2**32 - 1}, found {seed}')


def test_iterations_written_as_a_power_of_ten():
    check_settings(read(SEMANTIC, 'train_cfg.max_iters=8e4'))


def test_processes_that_stay_where_there_are_none():
    cfg = read(INSTANCE, 'train_dataloader.num_workers=0')
    assert 'train_dataloader.persistent_workers: expected False' in one_line(check_settings, cfg)
    cfg.train_dataloader.persistent_workers = False
    check_settings(cfg)


def test_key_that_a_dataloader_does_not_take():
    cfg = read(INSTANCE)
    cfg.val_dataloader.batchsize = 4
    message = one_line(check_settings, cfg)
    assert message == (
        f"configs/{INSTANCE}.py: val_dataloader.batchsize: DataLoader takes no argument 'batchsize'"
        "; the nearest known one is 'batch_size'"
    )
    check_settings(cfg, ['train_dataloader'])


# --- pretrained files --------------------------------------------------------------------------


def test_pretrained_files_on_this_disk(tmp_path):
    for name in ('apple/fastvit_t8', 'https://example.org/x.pth', 'torchvision://resnet50'):
        check_pretrained(read(INSTANCE, f'model.backbone.init_cfg.checkpoint={name}'))
    (tmp_path / 'there.pth').touch()
    check_pretrained(read(INSTANCE, f'model.backbone.init_cfg.checkpoint={tmp_path}/there.pth'))
    with raises_naming(CheckpointError, tmp_path, 'a folder, expected', 'found', 'there.pth'):
        check_pretrained(read(INSTANCE, f'model.backbone.init_cfg.checkpoint={tmp_path}'))
    for name in ('missing.pth', 'apple/fastvit_t9'):
        cfg = read(INSTANCE, f'model.backbone.init_cfg.checkpoint={name}')
        place = 'model.backbone.init_cfg.checkpoint'
        with raises_naming(CheckpointError, name, 'no such file', place):
            check_pretrained(cfg)


@pytest.mark.integration
def test_missing_pretrained_file_is_told_before_data_is_read(tiny_semantic, monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError('data was read')

    monkeypatch.setattr('fastvit_dense.engine.build.quick_check', refuse)
    init = "dict(_delete_=True, type='Pretrained', checkpoint='missing.pth')"
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(tiny_semantic)!r}\nmodel = dict(backbone=dict(init_cfg={init}))'
    )
    with raises_naming(CheckpointError, 'missing.pth', 'no such file'):
        engine.train(config, work_dir=str(tmp_path / 'work'))
