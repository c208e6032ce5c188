"""Names of all layouts against the key lists of published files and timm's own models."""

import functools
import json

import pytest
import timm
import torch

from fastvit_dense.checkpoints.layouts import (
    Layout,
    backbone_names,
    detect_layout,
    from_ours,
    is_classifier,
    to_ours,
)
from fastvit_dense.errors import CheckpointError
from tests.facts import raises_naming

# tensors of the classifier in Apple's files (fastvit.md, section 2.1)
KEY_COUNTS = {
    't8': (462, 156),
    't12': (530, 182),
    's12': (530, 182),
    'sa12': (504, 198),
    'sa24': (884, 368),
    'sa36': (1264, 538),
    'ma36': (1264, 538),
}
VARIANTS = [*KEY_COUNTS, 'mci0', 'mci3']  # the other MCi differ in numbers only


@functools.cache
def timm_keys(variant, fused=False, **kwargs):
    with torch.device('meta'):
        model = timm.create_model(f'fastvit_{variant}', inference_mode=fused, **kwargs)
    return list(model.state_dict())


def golden_keys(shared_dir, name):
    rows = json.loads((shared_dir / 'golden' / f'{name}.json').read_text())['keys']
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ('name', 'timm_args'),
    [
        ('t8_apple', dict(variant='t8')),
        ('t8_apple_fused', dict(variant='t8', fused=True)),
        ('sa24_apple', dict(variant='sa24')),
        ('sa24_timm', dict(variant='sa24')),
    ],
)
def test_published_names_meet_in_ours(shared_dir, name, timm_args):
    keys = golden_keys(shared_dir, name)
    layout = detect_layout(keys)
    assert layout == Layout(name.split('_')[1], name.split('_')[1], '')
    ours = to_ours(keys, layout.style)
    assert set(ours.values()) == set(to_ours(timm_keys(**timm_args), 'timm').values())
    back = from_ours(ours.values(), layout.style)
    assert [back[name] for name in ours.values()] == keys


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('variant', VARIANTS)
def test_apple_and_timm_names_pair_one_to_one(variant, fused):
    keys = timm_keys(variant, fused)
    ours = list(to_ours(keys, 'timm').values())
    apple = list(from_ours(ours, 'apple').values())
    assert len(set(apple)) == len(keys)
    if variant in KEY_COUNTS:
        assert len(apple) == KEY_COUNTS[variant][fused]
    assert detect_layout(apple).style == 'apple'
    assert list(to_ours(apple, 'apple').values()) == ours
    assert list(from_ours(ours, 'timm').values()) == keys
    assert not any(
        part in key for key in apple for part in ('stages', 'gamma', 'mlp', 'final_conv')
    )


@pytest.mark.parametrize(
    ('timm_key', 'apple_key'),
    [  # fastvit.md, section 2.2: SA12 worked out, and FastViTHD's second positional encoding
        ('stages.0.blocks.0.token_mixer.layer_scale.gamma', 'network.0.0.token_mixer.layer_scale'),
        (
            'stages.1.downsample.proj.0.large_conv.conv.weight',
            'network.1.proj.0.lkb_origin.conv.weight',
        ),
        ('stages.3.pos_emb.pos_enc.bias', 'network.6.pe.bias'),
        ('stages.3.blocks.1.layer_scale_2.gamma', 'network.7.1.layer_scale_2'),
        ('stages.4.downsample.proj.1.identity.bias', 'network.8.proj.1.rbr_skip.bias'),
        ('stages.4.pos_emb.pos_enc.weight', 'network.9.pe.weight'),
        ('stages.4.blocks.0.mlp.fc1.bias', 'network.10.0.convffn.fc1.bias'),
        ('final_conv.se.fc1.weight', 'conv_exp.se.reduce.weight'),
        ('head.fc.bias', 'head.bias'),
    ],
)
def test_single_names(timm_key, apple_key):
    keys = timm_keys('mci3')
    assert from_ours(to_ours(keys, 'timm').values(), 'apple')[to_ours(keys, 'timm')[timm_key]] == (
        apple_key
    )


def test_folded_names():
    ours = to_ours(timm_keys('mci0', fused=True), 'timm').values()
    apple = from_ours(ours, 'apple')
    assert (
        apple['stages.1.downsample.proj.0.reparam_conv.bias'] == 'network.1.proj.0.lkb_reparam.bias'
    )
    assert (
        apple['stages.1.downsample.proj.1.reparam_conv.bias']
        == 'network.1.proj.1.reparam_conv.bias'
    )
    assert apple['stages.3.pos_emb.reparam_conv.weight'] == 'network.6.reparam_conv.weight'
    assert apple['stages.3.downsample.proj.0.se.fc1.bias'] == 'network.5.proj.0.se.fc1.bias'


def test_output_norms_follow_their_stage():
    ours = [*to_ours(timm_keys('sa12'), 'timm').values(), 'out_norms.0.weight', 'out_norms.3.bias']
    apple = from_ours(ours, 'apple')
    assert apple['out_norms.0.weight'] == 'norm0.weight'
    assert apple['out_norms.3.bias'] == 'norm7.bias'  # Apple's own code says norm6: its bug
    assert list(to_ours(apple.values(), 'apple').values()) == ours
    assert from_ours(ours, 'timm')['out_norms.3.bias'] == 'norm3.bias'


def test_features_only_names():
    with torch.device('meta'):
        model = timm.create_model('fastvit_sa12', features_only=True)
    keys = list(model.state_dict())
    assert len(keys) == 486
    assert detect_layout(keys) == Layout('timm', 'timm', '')
    backbone = [
        name for name in to_ours(timm_keys('sa12'), 'timm').values() if not is_classifier(name)
    ]
    assert list(to_ours(keys, 'timm').values()) == backbone


@pytest.mark.parametrize(
    ('prefix', 'style', 'name'),
    [
        ('image_encoder.model.', 'apple', 'mobileclip'),
        ('model.vision_tower.vision_tower.model.', 'apple', 'fastvlm'),
        ('visual.trunk.', 'timm', 'openclip'),
        ('module.visual.trunk.', 'timm', 'openclip'),
        ('backbone.', 'fastvit_dense', 'fastvit_dense'),
        ('module.backbone.', 'fastvit_dense', 'fastvit_dense'),
        ('module.', 'apple', 'apple'),
        ('student.encoder.', 'timm', 'timm'),
    ],
)
def test_prefixes(prefix, style, name):
    names = list(to_ours(timm_keys('mci0'), 'timm').values())
    keys = [prefix + key for key in from_ours(names, style).values()]
    layout = detect_layout(['logit_scale', *keys, 'text.proj'])
    assert layout == Layout(name, style, prefix)
    assert list(backbone_names([*keys, 'text.proj'], layout)) == names


def test_mobileclip_projection_keeps_its_name():
    keys = [
        *from_ours(to_ours(timm_keys('mci0', num_classes=0), 'timm').values(), 'apple').values()
    ]
    assert to_ours([*keys, 'head.proj'], 'apple')['head.proj'] == 'head.proj'
    assert from_ours(['head.proj'], 'timm') == {'head.proj': 'head.proj'}


def test_backbone_is_preferred_to_teacher():
    keys = timm_keys('t8')
    both = [f'backbone.{key}' for key in keys] + [f'teacher.backbone.{key}' for key in keys]
    assert detect_layout(both).prefix == 'backbone.'
    with raises_naming(CheckpointError, 2, 'FastViTs', 'a.', 'b.'):
        detect_layout([f'a.{key}' for key in keys] + [f'b.{key}' for key in keys])


def test_other_networks_are_not_recognised():
    with torch.device('meta'):
        for name in ('resnet18', 'mobileone_s0', 'repvit_m1', 'convnext_atto'):
            assert detect_layout(timm.create_model(name).state_dict()) is None
    assert detect_layout([]) is None


def test_two_keys_never_get_one_name():
    with raises_naming(CheckpointError, 'head.weight', 'head.fc.weight', 'head.fc.weight'):
        to_ours(['head.weight', 'head.fc.weight'], 'apple')


def test_unknown_style_names_the_known():
    with raises_naming(ValueError, 'jax', 'fastvit_dense', 'apple', 'timm'):
        to_ours([], 'jax')
