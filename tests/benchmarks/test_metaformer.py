"""The MetaFormer with pooling is timm's PoolFormer-S12; RepMixer replaces the pooling alone."""

import pytest
import torch

from benchmarks.metaformer import MIXERS, MetaFormer
from fastvit_dense.backbones import count_macs, reparameterize
from tests.facts import raises_naming

timm = pytest.importorskip('timm')


def test_pooling_is_poolformer():
    torch.manual_seed(0)
    theirs = timm.create_model('poolformer_s12', features_only=True).eval()
    ours = MetaFormer('pooling').eval()
    for value in theirs.parameters():
        torch.nn.init.uniform_(value, -0.3, 0.3)
    # timm keeps the layer scales of a block behind each branch, in another order
    state, left = theirs.state_dict(), dict(ours.state_dict())
    blocks = {}
    for name, value in state.items():
        if 'blocks' in name:
            stage, _, block, rest = name.split('.', 3)
            blocks.setdefault((int(stage.removeprefix('stages_')), int(block)), {})[rest] = value
    names = {
        'token': {'norm1.weight': 'norm.weight', 'norm1.bias': 'norm.bias'},
        'mlp': {'norm2.weight': 'norm.weight', 'norm2.bias': 'norm.bias'},
    }
    names['token']['layer_scale1.scale'] = names['mlp']['layer_scale2.scale'] = 'layer_scale'
    for layer in ('fc1', 'fc2'):
        for kind in ('weight', 'bias'):
            names['mlp'][f'mlp.{layer}.{kind}'] = f'{layer}.{kind}'
    for (stage, block), values in blocks.items():
        for offset, part in enumerate(('token', 'mlp')):
            for source, target in names[part].items():
                key = f'stages.{stage}.{1 + 2 * block + offset}.{target}'
                left[key] = values.pop(source).reshape(left[key].shape)
        assert not values
    embeds = [name for name in state if 'blocks' not in name]
    assert len(embeds) == 8
    for name in embeds:
        stage = 0 if name.startswith('stem') else int(name.split('.')[0].removeprefix('stages_'))
        left[f'stages.{stage}.0.{name.rsplit(".", 1)[1]}'] = state[name]
    ours.load_state_dict(left)

    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for found, expected in zip(ours(images), theirs(images), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_repmixer_replaces_the_pooling_alone():
    images = torch.rand(1, 3, 64, 64)
    pooling, repmixer = MetaFormer('pooling').eval(), MetaFormer('repmixer').eval()
    torch.manual_seed(0)
    for norm in repmixer.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        before = repmixer(images)
        folded = reparameterize(repmixer)
        for found, expected in zip(folded(images), before, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    convs = [m for m in folded.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1]
    assert [conv.kernel_size for conv in convs] == [(3, 3)] * 12
    positions = [16**2, 8**2, 4**2, 2**2]
    mixing = sum(
        n * p * c * 9 for n, p, c in zip((2, 2, 6, 2), positions, (64, 128, 320, 512), strict=True)
    )
    assert count_macs(folded, images) - count_macs(pooling, images) == mixing


def test_unknown_mixer():
    with raises_naming(ValueError, "'attention'", *MIXERS):
        MetaFormer('attention')
