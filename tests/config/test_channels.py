"""Channels that do not fit are told before anything is built or read."""

import re

import pytest
import torch
from mmengine.config import Config
from torch import nn

from fastvit_dense import FastViT, engine, load_model
from fastvit_dense.config.channels import check_channels
from fastvit_dense.tasks.config import load_config
from tests.config.shipped import INSTANCE, SEMANTIC, one_line, read

REGRESSED, TOKENS = 'handmesh_fastvit_sa24', 'handmesh_token_fastvit_sa24'
# FastViT paper, Table 1
T8, SA24 = '[48, 96, 192, 384]', '[64, 128, 256, 512]'


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
