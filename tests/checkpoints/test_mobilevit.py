"""MobileViT's files: timm's, Hugging Face's and CVNets' names, channel order, conversion.

The names of the two others are made here from timm's, in the direction that the package does not
go; `NAMES` holds some of each as they stand in the published tables.
"""

import re

import pytest
import torch

from fastvit_dense import FastViT, MobileViT, load_pretrained, reparameterize
from fastvit_dense.checkpoints.convert import convert_file
from fastvit_dense.checkpoints.mobilevit_layouts import detect_mobilevit, mobilevit_names
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.errors import CheckpointError, CheckpointMismatch
from tests.backbones.randomise import relative_error
from tests.backbones.timm_oracle import mobilevit_outputs, timm_mobilevit
from tests.facts import raises_naming

ALL = tuple(range(5))
# style, name in the file, name in timm
NAMES = (
    ('cvnets', 'conv_1.block.conv.weight', 'stem.conv.weight'),
    ('cvnets', 'conv_1.block.norm.bias', 'stem.bn.bias'),
    (
        'cvnets',
        'layer_2.2.block.red_1x1.block.norm.running_var',
        'stages.1.2.conv3_1x1.bn.running_var',
    ),
    (
        'cvnets',
        'layer_3.1.local_rep.conv_3x3.block.conv.weight',
        'stages.2.1.conv_kxk.conv.weight',
    ),
    ('cvnets', 'layer_3.1.local_rep.conv_1x1.block.conv.weight', 'stages.2.1.conv_1x1.weight'),
    (
        'cvnets',
        'layer_4.1.global_rep.3.pre_norm_mha.1.qkv_proj.bias',
        'stages.3.1.transformer.3.attn.qkv.bias',
    ),
    (
        'cvnets',
        'layer_4.1.global_rep.0.pre_norm_ffn.4.weight',
        'stages.3.1.transformer.0.mlp.fc2.weight',
    ),
    ('cvnets', 'layer_5.1.global_rep.3.weight', 'stages.4.1.norm.weight'),
    ('cvnets', 'layer_5.1.fusion.block.norm.weight', 'stages.4.1.conv_fusion.bn.weight'),
    ('cvnets', 'layer_3.1.local_rep.0.block.norm.weight', 'stages.2.1.conv_kxk.bn.weight'),
    (
        'cvnets',
        'layer_3.1.global_rep.1.pre_norm_attn.1.qkv_proj.block.conv.weight',
        'stages.2.1.transformer.1.attn.qkv_proj.weight',
    ),
    (
        'cvnets',
        'layer_3.1.global_rep.1.pre_norm_ffn.3.block.conv.bias',
        'stages.2.1.transformer.1.mlp.fc2.bias',
    ),
    ('huggingface', 'conv_stem.normalization.weight', 'stem.bn.weight'),
    (
        'huggingface',
        'encoder.layer.1.layer.2.expand_1x1.convolution.weight',
        'stages.1.2.conv1_1x1.conv.weight',
    ),
    (
        'huggingface',
        'encoder.layer.4.downsampling_layer.conv_3x3.normalization.bias',
        'stages.4.0.conv2_kxk.bn.bias',
    ),
    (
        'huggingface',
        'encoder.layer.2.transformer.layer.1.attention.output.dense.bias',
        'stages.2.1.transformer.1.attn.proj.bias',
    ),
    (
        'huggingface',
        'encoder.layer.2.transformer.layer.1.output.dense.bias',
        'stages.2.1.transformer.1.mlp.fc2.bias',
    ),
    ('huggingface', 'encoder.layer.3.layernorm.weight', 'stages.3.1.norm.weight'),
    (
        'huggingface',
        'encoder.layer.3.transformer.layer.0.ffn.conv1.convolution.weight',
        'stages.3.1.transformer.0.mlp.fc1.weight',
    ),
    (
        'huggingface',
        'encoder.layer.3.transformer.layer.0.attention.qkv_proj.convolution.weight',
        'stages.3.1.transformer.0.attn.qkv_proj.weight',
    ),
)


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def save(tmp_path):
    def save(content):
        torch.save(content, tmp_path / 'weights.pth')
        return tmp_path / 'weights.pth'

    return save


def to_cvnets(key, linear):
    depth = {'2': 2, '3': 4, '4': 3}
    key = key.replace('final_conv.', 'conv_1x1_exp.block.').replace('head.fc.', 'classifier.fc.')
    key = re.sub(r'^stem\.', 'conv_1.block.', key)
    key = key.replace('.bn.', '.norm.')
    key = re.sub(
        r'^stages\.(\d)\.1\.norm\.', lambda m: f'stages.{m[1]}.1.global_rep.{depth[m[1]]}.', key
    )
    key = re.sub(r'^stages\.(\d)\.', lambda m: f'layer_{int(m[1]) + 1}.', key)
    for ours, theirs in (
        ('conv1_1x1', 'exp_1x1'),
        ('conv2_kxk', 'conv_3x3'),
        ('conv3_1x1', 'red_1x1'),
    ):
        key = key.replace(f'.{ours}.', f'.block.{theirs}.block.')
    three, one = ('0', '1') if linear else ('conv_3x3', 'conv_1x1')
    key = key.replace('.conv_kxk.', f'.local_rep.{three}.block.')
    key = key.replace('.conv_1x1.', f'.local_rep.{one}.block.conv.')
    key = key.replace('.conv_proj.', '.conv_proj.block.').replace('.conv_fusion.', '.fusion.block.')
    key = key.replace('.transformer.', '.global_rep.')
    attention, conv = ('pre_norm_attn', 'block.conv.') if linear else ('pre_norm_mha', '')
    key = key.replace('.norm1.', f'.{attention}.0.').replace('.norm2.', '.pre_norm_ffn.0.')
    key = re.sub(r'\.attn\.(qkv)(_proj)?\.', rf'.{attention}.1.qkv_proj.{conv}', key)
    key = re.sub(r'\.attn\.(out_)?proj\.', rf'.{attention}.1.out_proj.{conv}', key)
    key = key.replace('.mlp.fc1.', f'.pre_norm_ffn.1.{conv}')
    return key.replace('.mlp.fc2.', f'.pre_norm_ffn.{3 if linear else 4}.{conv}')


def to_huggingface(key, linear):
    prefix = 'mobilevitv2.' if linear else 'mobilevit.'
    if key.startswith('head.fc.'):
        return key.replace('head.fc.', 'classifier.')
    key = key.replace('.conv.', '.convolution.').replace('.bn.', '.normalization.')
    key = re.sub(r'^stem\.', 'conv_stem.', key).replace('final_conv.', 'conv_1x1_exp.')
    key = re.sub(r'^stages\.([01])\.(\d)\.', r'encoder.layer.\1.layer.\2.', key)
    key = re.sub(r'^stages\.(\d)\.0\.', r'encoder.layer.\1.downsampling_layer.', key)
    key = re.sub(r'^stages\.(\d)\.1\.', r'encoder.layer.\1.', key)
    for ours, theirs in (
        *(('conv1_1x1', 'expand_1x1'), ('conv2_kxk', 'conv_3x3'), ('conv3_1x1', 'reduce_1x1')),
        *(('conv_proj', 'conv_projection'), ('conv_fusion', 'fusion')),
        ('conv_1x1', 'conv_1x1.convolution'),
        *(('transformer', 'transformer.layer'), ('norm', 'layernorm')),
        *(('norm1', 'layernorm_before'), ('norm2', 'layernorm_after')),
        ('attn.qkv_proj', 'attention.qkv_proj.convolution'),
        ('attn.out_proj', 'attention.out_proj.convolution'),
        ('attn.proj', 'attention.output.dense'),
        ('mlp.fc1', 'ffn.conv1.convolution' if linear else 'intermediate.dense'),
        ('mlp.fc2', 'ffn.conv2.convolution' if linear else 'output.dense'),
    ):
        key = key.replace(f'.{ours}.', f'.{theirs}.')
    return prefix + key


def in_style(state, style, linear):
    """Return timm's state dict as another library saves it: names, thirds, channel order."""
    if style == 'timm':
        return dict(state)
    renamed = to_cvnets if style == 'cvnets' else to_huggingface
    new = {}
    for key, tensor in state.items():
        if key == 'stem.conv.weight' and not linear:
            tensor = tensor[:, [2, 1, 0]]
        if style == 'huggingface' and '.attn.qkv.' in key:
            start, leaf = renamed(key, linear).split('.attn.qkv.')
            for part, third in zip(('query', 'key', 'value'), tensor.chunk(3), strict=True):
                new[f'{start}.attention.attention.{part}.{leaf}'] = third.clone()
        else:
            new[renamed(key, linear)] = tensor
    return new


@pytest.mark.parametrize(('style', 'key', 'name'), NAMES)
def test_names_of_the_published_tables(style, key, name):
    assert mobilevit_names([key], style) == {key: name}


@pytest.mark.parametrize('style', ['timm', 'huggingface', 'cvnets'])
@pytest.mark.parametrize('arch', ['xxs', 's', '0.5', '1.25'])
def test_every_layout_computes_what_timm_computes(save, arch, style):
    """RGB of 0-1 goes in, whatever the order of channels that the file was made for."""
    oracle = timm_mobilevit(arch)
    linear = arch[0].isdigit()
    state = in_style(oracle.state_dict(), style, linear)
    model = MobileViT(arch, out_indices=ALL).eval()
    report = load_pretrained(model, save(state))
    assert (report.layout, report.variant, report.fused) == (style, arch, False)
    assert set(report.loaded) == set(model.state_dict())
    assert report.missing == report.unexpected == ()
    assert report.channel_order == ('RGB' if linear or style == 'timm' else 'BGR')
    assert {key.split('.')[0] for key in report.ignored} <= {
        *('final_conv', 'head', 'conv_1x1_exp', 'classifier'),
        'mobilevit',
    }
    images = torch.rand(1, 3, 48, 66, generator=torch.Generator().manual_seed(0))
    expected = mobilevit_outputs(oracle, images)
    with torch.no_grad():
        outputs = model(images)
        turned = model(images.flip(1))
    assert max(map(relative_error, outputs, expected)) < 1e-4
    assert relative_error(turned[0], expected[0]) > 1e-2  # the order matters


@pytest.mark.parametrize(
    ('style', 'prefix'), [('cvnets', 'encoder.'), ('huggingface', ''), ('timm', 'backbone.')]
)
def test_files_of_larger_models(save, style, prefix):
    state = in_style(timm_mobilevit('xxs').state_dict(), style, linear=False)
    whole = {prefix + key: tensor for key, tensor in state.items()}
    whole['seg_head.classifier.weight'] = torch.rand(2, 2)
    model = MobileViT('xxs', out_indices=(1, 3), out_norm='BN')
    report = load_pretrained(model, save(dict(state_dict=whole)))
    assert 'seg_head.classifier.weight' in report.ignored
    assert all(name.startswith('out_norms.') for name in report.missing)
    assert len(report.missing) == 2 * 5
    assert report.layout == ('fastvit_dense' if prefix == 'backbone.' else style)


def test_own_files(save):
    model = MobileViT('xxs', out_norm='BN').eval()
    for source in (model, reparameterize(MobileViT('xxs', out_norm='BN').eval())):
        folded = source is not model
        twin = MobileViT('xxs', out_norm='BN', reparameterized=folded)
        report = load_pretrained(twin, save(source.state_dict()))
        assert (report.layout, report.fused) == ('fastvit_dense', folded)
        for name, tensor in source.state_dict().items():
            assert torch.equal(tensor, twin.state_dict()[name]), name
    with raises_naming(CheckpointMismatch, 'folded', 'MobileViT(..., reparameterized=True)'):
        load_pretrained(MobileViT('xxs'), save(source.state_dict()))


def test_init_cfg_takes_this_path(save):
    oracle = timm_mobilevit('xxs')
    path = save(oracle.state_dict())
    model = MobileViT('xxs', init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    assert torch.equal(model.stem.conv.weight, oracle.state_dict()['stem.conv.weight'])


@pytest.mark.parametrize('style', ['timm', 'huggingface', 'cvnets'])
def test_what_does_not_fit_is_refused(save, style):
    state = in_style(timm_mobilevit('xxs').state_dict(), style, linear=False)
    model = MobileViT('xxs')
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    last = [key for key in state if 'conv_1x1' in key and 'exp' not in key][-1]
    query = next((k for k in state if k.endswith('.query.bias')), last)
    damages = (
        ({k: v for k, v in state.items() if k != last}, ['missing', 'conv_1x1.weight']),
        ({k: v for k, v in state.items() if k != query}, ['missing']),
        ({**state, last: torch.full_like(state[last], torch.nan)}, ['NaN', 'conv_1x1.weight']),
        ({**state, query: state[query].to(torch.int8)}, ['fit']),
        ({**state, f'{last}.more': state[last]}, ['not in the network', '.more']),
    )
    for damaged, facts in damages:
        with raises_naming(CheckpointMismatch, 'weights.pth', *facts):
            load_pretrained(model, save(damaged))
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]), name
    with raises_naming(CheckpointMismatch, 'xxs', 'xs', 'another shape'):
        load_pretrained(MobileViT('xs'), save(state))
    with raises_naming(CheckpointMismatch, 'xxs', '0.5'):
        load_pretrained(MobileViT('0.5'), save(state))


# ------------------------------------------------------------------------ order of channels


@pytest.mark.parametrize(
    ('style', 'arch', 'known'),
    [('cvnets', 'xxs', 'BGR'), ('huggingface', '0.5', 'RGB'), ('timm', 'xxs', 'RGB')],
)
def test_order_of_channels_that_the_user_names(save, style, arch, known):
    """A network that somebody trained with the other library's names and the other order."""
    model = MobileViT(arch)
    linear = arch[0].isdigit()
    path = save(in_style(model.state_dict(), style, linear))
    own = load_checkpoint_file(path)
    first = next(t for key, t in own.items() if t.dim() == 4 and t.shape[1] == 3)
    other = {'BGR': 'RGB', 'RGB': 'BGR'}[known]
    for order, found in ((None, known), (known, known), (other, other)):
        report = load_pretrained(model, path, channel_order=order)
        assert report.channel_order == found
        assert ('turned round to RGB' in str(report)) == (found == 'BGR')
        expected = first.flip(1) if found == 'BGR' else first
        assert torch.equal(model.stem.conv.weight, expected)
    init_cfg = dict(type='Pretrained', checkpoint=str(path), channel_order=other)
    again = MobileViT(arch, init_cfg=init_cfg)
    again.init_weights()
    assert torch.equal(again.stem.conv.weight, model.stem.conv.weight)


def test_order_of_channels_that_is_none(save):
    path = save(MobileViT('xxs').state_dict())
    with raises_naming(CheckpointError, 'channel_order', "'RGB'", "'BGR'", "'bgr'"):
        load_pretrained(MobileViT('xxs'), path, channel_order='bgr')
    fastvit = FastViT('t8')
    with raises_naming(CheckpointMismatch, 'weights.pth', 'BGR', 'MobileViT'):
        load_pretrained(fastvit, save(fastvit.state_dict()), channel_order='BGR')


# ------------------------------------------------------------------------------- conversion


def weights(path):
    content = load_checkpoint_file(path)
    return content.get('state_dict', content)


@pytest.mark.parametrize('style', ['timm', 'huggingface', 'cvnets'])
@pytest.mark.parametrize('arch', ['xxs', '0.5'])
def test_every_layout_becomes_timms(save, tmp_path, arch, style):
    """Bit for bit what timm has, the classifier included; so timm itself can take the file."""
    expected = timm_mobilevit(arch).state_dict()
    source = save(in_style(expected, style, linear=arch == '0.5'))
    for to in ('timm', 'fastvit_dense'):
        found = weights(convert_file(source, tmp_path / f'{to}.pth', to))
        assert found.keys() == expected.keys()
        assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
        report = load_pretrained(MobileViT(arch), tmp_path / f'{to}.pth')
        assert report.missing == ()
        assert report.channel_order == 'RGB'


def test_conversion_takes_the_users_word(save, tmp_path):
    state = timm_mobilevit('xxs').state_dict()
    source = save(in_style(state, 'cvnets', linear=False))
    found = weights(convert_file(source, tmp_path / 'x.pth', 'timm', channel_order='RGB'))
    assert torch.equal(found['stem.conv.weight'], state['stem.conv.weight'].flip(1))
    with raises_naming(CheckpointError, 'channel_order', "'GBR'"):
        convert_file(source, tmp_path / 'y.pth', 'timm', channel_order='GBR')
    fastvit = save(FastViT('t8').state_dict())
    with raises_naming(CheckpointMismatch, 'weights.pth', 'BGR', 'MobileViT'):
        convert_file(fastvit, tmp_path / 'y.pth', 'apple', channel_order='BGR')
    assert not (tmp_path / 'y.pth').exists()


def test_own_models_are_converted(save, tmp_path):
    """Heads stay beside ours and are left out of timm's; output norms timm has not."""
    model = MobileViT('xxs', out_norm='BN').eval()
    state = {f'backbone.{name}': tensor for name, tensor in model.state_dict().items()}
    state['head.fc.weight'] = torch.rand(2, 2)
    same = weights(convert_file(save(state), tmp_path / 'ours.pth', 'fastvit_dense'))
    assert list(same) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in same.items())
    turned = convert_file(save(state), tmp_path / 'x.pth', 'fastvit_dense', channel_order='BGR')
    stem = 'backbone.stem.conv.weight'
    assert torch.equal(weights(turned)[stem], state[stem].flip(1))
    timms = weights(convert_file(save(state), tmp_path / 'timm.pth', 'timm'))
    assert timms.keys() == MobileViT('xxs').state_dict().keys()
    folded = save(reparameterize(model).state_dict())
    assert convert_file(folded, tmp_path / 'folded.pth', 'fastvit_dense').is_file()
    for to, facts in (('timm', ['folded', 'timm']), ('apple', ['MobileViT', 'apple', 'timm'])):
        with raises_naming(CheckpointMismatch, 'weights.pth', *facts):
            convert_file(folded, tmp_path / 'no.pth', to)


def test_other_networks_are_not_recognised(save):
    import timm

    for name in ('resnet18', 'fastvit_t8', 'mobilenetv2_100'):
        with torch.device('meta'):
            keys = list(timm.create_model(name).state_dict())
        assert detect_mobilevit(keys) is None
    with raises_naming(CheckpointMismatch, 'no MobileViT', 'conv1.weight'):
        load_pretrained(MobileViT('xxs'), save({'conv1.weight': torch.rand(2, 2)}))
    keys = list(MobileViT('xxs').state_dict())
    both = {f'{part}.{key}': torch.rand(1) for key in keys for part in ('student', 'teacher')}
    with raises_naming(CheckpointMismatch, 2, 'MobileViTs', 'student.', 'teacher.'):
        load_pretrained(MobileViT('xxs'), save(both))
