"""The configs that come with the package: what they name is there, and is the paper's."""

from pathlib import Path

import pytest
import torch

from fastvit_dense import FastViT
from fastvit_dense.checkpoints.published import PUBLISHED
from fastvit_dense.config.types import find_type
from fastvit_dense.tasks.config import load_config

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(
    str(path.relative_to(ROOT).with_suffix(''))
    for path in (*ROOT.glob('*.py'), *ROOT.glob('finetune/*.py'))
)


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)


@pytest.mark.parametrize('arch', ['t8', 't12', 's12', 'sa12', 'sa24', 'sa36', 'ma36'])
@pytest.mark.parametrize('head', ['maskrcnn', 'fasterrcnn', 'semfpn'])
def test_configs_agree_with_the_backbone(head, arch):
    """in_channels of the neck are the backbone's, BN policy, decay and weights are explicit."""
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


@pytest.mark.parametrize('arch', ['sa12', 'sa24', 'sa36', 'ma36'])
@pytest.mark.parametrize('head', ['maskrcnn', 'semfpn'])
def test_recipe_of_the_stronger_peers(head, arch):
    """Distilled weights, frozen statistics, weight decay 0.05; all else is the paper's recipe."""
    cfg = load_config(f'configs/{head}_fastvit_{arch}_best.py').to_dict()
    paper = load_config(f'configs/{head}_fastvit_{arch}.py').to_dict()
    backbone, plain = cfg['model']['backbone'], paper['model']['backbone']
    assert backbone['init_cfg']['checkpoint'] == f'apple_dist/fastvit_{arch}'
    assert backbone['norm_eval']
    assert backbone['out_norm'] is None
    assert cfg['optim_wrapper']['optimizer']['weight_decay'] == 0.05
    assert 'expected_results' not in cfg
    for key in ('init_cfg', 'norm_eval', 'out_norm'):
        backbone[key] = plain[key]
    cfg['optim_wrapper']['optimizer']['weight_decay'] = 1e-4
    for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_dataloader', 'train_cfg'):
        assert cfg[key] == paper[key]


@pytest.mark.parametrize(('model', 'arch'), [('s0', 'mci0'), ('s2', 'mci2')])
@pytest.mark.parametrize('head', ['maskrcnn', 'semfpn'])
def test_mobileclip2(head, model, arch):
    """Pixels and weights are those that timm states for the image tower."""
    from timm.models.fastvit import default_cfgs

    cfg = load_config(f'configs/{head}_mobileclip2_{model}.py').model
    assert cfg.backbone.arch == arch
    file = PUBLISHED[cfg.backbone.init_cfg.checkpoint]
    assert (file.arch, 'MobileCLIP2-' + model.upper() in file.use) == (arch, True)
    timm = default_cfgs[f'fastvit_{arch}'].cfgs['apple_mclip2_dfndr2b']
    pixels = cfg.data_preprocessor
    assert pixels.bgr_to_rgb
    assert [m / 255 for m in pixels.mean] == list(timm.mean)
    assert [s / 255 for s in pixels.std] == list(timm.std)
    with torch.device('meta'):
        assert FastViT(arch).out_channels == tuple(cfg.neck.in_channels)


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
    assert {'SeedHook', 'LoggerHook', 'SeedSample'} <= names
    assert names & {'FastViT', 'MobileViT'}
    assert names & {'AdamW', 'SGD'}
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
