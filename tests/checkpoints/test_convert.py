"""Conversion between layouts loses nothing; published files hold weights only."""

import hashlib
import json

import pytest
import torch

from fastvit_dense.backbones import FastViT, reparameterize
from fastvit_dense.checkpoints.convert import convert_file
from fastvit_dense.checkpoints.pretrained import load_pretrained
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.errors import CheckpointError, CheckpointMismatch
from tests.facts import raises_naming

GOLDEN = ['t8_apple', 't8_apple_fused', 'sa24_apple', 'sa24_timm']


def golden_file(shared_dir, folder, name, true_shapes):
    """Write random weights in a published layout; return the file, them and their description."""
    described = json.loads((shared_dir / 'golden' / f'{name}.json').read_text())
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape, dtype in described['keys']:
        values = torch.rand(shape if true_shapes else [2], generator=generator) * 9
        state[key] = values.to(getattr(torch, dtype))
    path = folder / 'source.pth'
    torch.save({described['wrapper']: state} if described['wrapper'] else state, path)
    return path, state, described


def weights(path):
    content = load_checkpoint_file(path)
    return content.get('state_dict', content)


def assert_same(left, right):
    assert list(left) == list(right)
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert torch.equal(left[name], right[name]), name


@pytest.mark.parametrize('name', GOLDEN)
@pytest.mark.parametrize('way', [['fastvit_dense'], ['timm', 'apple', 'fastvit_dense', 'timm']])
def test_there_and_back(shared_dir, tmp_path, name, way):
    path, state, described = golden_file(shared_dir, tmp_path, name, true_shapes=False)
    home = described['layout'].split('_')[0]
    for step, to in enumerate([*way, home]):
        path = convert_file(path, tmp_path / f'{step}.pth', to)
    assert_same(weights(path), state)  # order, dtype, every bit, classifier included
    assert (described['wrapper'] is None) == ('state_dict' not in load_checkpoint_file(path))


@pytest.mark.parametrize('name', ['t8_apple', 't8_apple_fused', 'sa24_timm'])
def test_converted_file_loads_the_same(shared_dir, tmp_path, name):
    path, _, described = golden_file(shared_dir, tmp_path, name, true_shapes=True)
    states = []
    for to in ('fastvit_dense', 'apple', 'timm'):
        converted = convert_file(path, tmp_path / 'x.pth', to)
        model = FastViT(described['variant'], reparameterized=described['fused'])
        report = load_pretrained(model, converted)
        assert (report.layout, report.fused) == (to, described['fused'])
        assert all(name.startswith('out_norms') for name in report.missing)
        state = model.state_dict()
        states.append({name: state[name] for name in report.loaded})
    assert_same(states[0], states[1])
    assert_same(states[0], states[2])


def test_safetensors(shared_dir, tmp_path):
    path = golden_file(shared_dir, tmp_path, 'sa24_apple', true_shapes=False)[0]
    plain = weights(convert_file(path, tmp_path / 'x.pth', 'timm'))
    safe = weights(convert_file(path, tmp_path / 'x.safetensors', 'timm'))
    assert_same(dict(sorted(safe.items())), dict(sorted(plain.items())))


def test_clip_file_becomes_a_plain_backbone(tmp_path):
    model = FastViT('t8', out_norm=None)
    file = convert_file(save(tmp_path, model.state_dict()), tmp_path / 'apple.pth', 'apple')
    clip = {f'image_encoder.model.{k}': v for k, v in weights(file).items()}
    clip |= {'image_encoder.model.head.proj': torch.ones(2, 3), 'text_encoder.w': torch.ones(1)}
    ours = weights(convert_file(save(tmp_path, clip), tmp_path / 'ours.pth', 'fastvit_dense'))
    assert torch.equal(ours.pop('head.proj'), torch.ones(2, 3))
    assert_same(ours, model.state_dict())


def save(folder, content):
    torch.save(content, folder / 'in.pth')
    return folder / 'in.pth'


def training_run(state, **more):
    return dict(
        meta=dict(epoch=12, dataset_meta=dict(classes=('a',)), cfg='a = 1', seed=3, hook_msgs={}),
        state_dict=state,
        optimizer=dict(state={0: dict(exp_avg=torch.ones(1000))}),
        message_hub={},
        param_schedulers=[],
        **more,
    )


def test_publishing_a_training_run(tmp_path):
    state = {f'backbone.{k}': v for k, v in FastViT('t8').state_dict().items()}
    state |= {'rpn_head.weight': torch.randn(3)}
    source = save(tmp_path, training_run(state))
    published = convert_file(source, tmp_path / 'out' / 'model.pth', 'fastvit_dense', publish=True)
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert published == tmp_path / 'out' / f'model-{digest[:8]}.pth'
    assert [p.name for p in published.parent.iterdir()] == [published.name]
    content = load_checkpoint_file(published)
    assert content.keys() == {'state_dict', 'meta'}
    assert content['meta'] == dict(epoch=12, dataset_meta=dict(classes=('a',)), cfg='a = 1')
    assert_same(content['state_dict'], state)
    again = convert_file(source, tmp_path / 'out2' / 'model.pth', 'fastvit_dense', publish=True)
    assert again.name == published.name  # same weights, same name
    tar = convert_file(source, tmp_path / 'model.pth.tar', 'apple', publish=True)
    assert tar.name.startswith('model-')
    assert tar.name.endswith('.pth.tar')


@pytest.mark.parametrize('ema', [False, True])
def test_weights_with_nan_are_not_written(tmp_path, ema):
    state = FastViT('t8').state_dict()
    state['stem.0.conv_scale.bn.weight'].fill_(torch.nan)
    source = save(tmp_path, dict(state_dict=state, state_dict_ema=state))
    out = tmp_path / 'x.pth'
    with raises_naming(CheckpointError, source, 'NaN', 'in 1 of', 'stem.0.conv_scale.bn.weight'):
        convert_file(source, out, 'timm', ema=ema)
    assert not out.exists()


def test_a_folder_is_no_name_to_write_to(tmp_path):
    source = save(tmp_path, FastViT('t8').state_dict())
    (tmp_path / 'out').mkdir()
    with raises_naming(CheckpointError, tmp_path / 'out', 'found a folder'):
        convert_file(source, tmp_path / 'out', 'timm')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in.pth', 'out']


def test_averaged_weights(tmp_path):
    plain, averaged = (FastViT('t8').state_dict() for _ in range(2))
    timm_like = save(tmp_path, dict(state_dict=plain, state_dict_ema=averaged))
    out = tmp_path / 'x.pth'
    assert_same(weights(convert_file(timm_like, out, 'fastvit_dense')), plain)
    assert_same(weights(convert_file(timm_like, out, 'fastvit_dense', ema=True)), averaged)
    ema = {f'module.{k}': v for k, v in plain.items()}  # what was trained, in mmengine's files
    mmengine = save(tmp_path, training_run(averaged, ema_state_dict=ema))
    for wanted in (False, True):
        assert_same(weights(convert_file(mmengine, out, 'fastvit_dense', ema=wanted)), averaged)
    with raises_naming(CheckpointError, 'in.pth', 'no averaged weights', 'state_dict_ema'):
        convert_file(save(tmp_path, plain), out, 'fastvit_dense', ema=True)


def test_wholly_folded_weights_stay_ours(tmp_path):
    source = save(tmp_path, reparameterize(FastViT('t8').eval()).state_dict())
    assert convert_file(source, tmp_path / 'x.pth', 'fastvit_dense').is_file()
    for to in ('apple', 'timm'):
        with raises_naming(CheckpointMismatch, 'in.pth', 'folded', to, 'before reparameterize'):
            convert_file(source, tmp_path / f'{to}.pth', to)
        assert not (tmp_path / f'{to}.pth').exists()


def test_other_networks_and_layouts(tmp_path):
    source = save(tmp_path, torch.nn.Linear(1, 1).state_dict())
    with raises_naming(CheckpointMismatch, 'in.pth', 'no FastViT', 'no MobileViT'):
        convert_file(source, tmp_path / 'x.pth', 'apple')
    with raises_naming(CheckpointError, 'jax', 'fastvit_dense', 'apple', 'timm'):
        convert_file(source, tmp_path / 'x.pth', 'jax')
