"""Loading of every published layout, compared with golden outputs and with timm's own networks."""

import json
import logging.handlers
import sys

import pytest
import timm
import torch
from mmengine.logging import MMLogger

from fastvit_dense.backbones import FastViT, reparameterize
from fastvit_dense.checkpoints.layouts import from_ours, to_ours
from fastvit_dense.checkpoints.pretrained import CheckpointMismatch, load_pretrained
from fastvit_dense.errors import CheckpointError
from tests.backbones.randomise import randomise, relative_error
from tests.backbones.timm_oracle import make_timm, stage_outputs
from tests.facts import raises_naming

SMALL = ['t8', 't12', 's12', 'sa12', 'sa24', 'ma36', 'mci0']
# seconds each
LARGE = [
    pytest.param(name, marks=pytest.mark.slow) for name in ('sa36', 'mci1', 'mci2', 'mci3', 'mci4')
]


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    """Many small tensors: with more threads they mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def timm_t8():
    return make_timm('t8')


@pytest.fixture(scope='module')
def t8_apple(timm_t8):
    """A state dict as in Apple's file of T8."""
    return renamed(timm_t8.state_dict(), 'apple')


@pytest.fixture
def save(tmp_path):
    def save(content, name='weights.pth'):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def renamed(state, style, prefix=''):
    """Return timm's state dict in another style."""
    ours = to_ours(state, 'timm')
    new = from_ours(ours.values(), style)
    return {prefix + new[ours[key]]: tensor for key, tensor in state.items()}


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


def t8(**kwargs):
    return FastViT('t8', out_norm=None, **kwargs)


# --- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['t8_apple', 't8_apple_fused', 'sa24_apple', 'sa24_timm'])
def test_golden_outputs(shared_dir, seeded, save, name):
    golden = json.loads((shared_dir / 'golden' / f'{name}.json').read_text())
    state = seeded.seeded_state_dict(golden['keys'])
    path = save({golden['wrapper']: state} if golden['wrapper'] else state)
    model = FastViT(golden['variant'], out_norm=None, reparameterized=golden['fused']).eval()

    report = load_pretrained(model, path)

    assert (report.layout, report.fused) == (golden['layout'].split('_')[0], golden['fused'])
    assert report.variant == golden['variant']
    assert report.entry == (golden['wrapper'] or '')
    assert set(report.loaded) == set(model.state_dict())
    assert report.missing == report.unexpected == ()
    assert all(key.startswith(('conv_exp', 'final_conv', 'head')) for key in report.ignored)
    for given, expected in (('input', 'stages'), ('input_odd', 'stages_odd')):
        if given in golden:
            with torch.no_grad():
                outputs = model(seeded.seeded_input(**golden[given]))
            for output, summary in zip(outputs, golden[expected], strict=True):
                seeded.check(output, summary)


@pytest.mark.parametrize('variant', [*SMALL, *LARGE])
def test_every_variant_matches_timm(save, variant):
    """Unfolded and folded, in timm's and in Apple's layout, within 1e-4 of the rms."""
    oracle = make_timm(variant, num_classes=0)
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    expected = stage_outputs(oracle, images)
    outputs = tuple(range(len(expected)))
    folded = timm.utils.reparameterize_model(oracle)
    for source, fused in ((oracle, False), (folded, True)):
        model = FastViT(variant, outputs, out_norm=None, reparameterized=fused).eval()
        report = load_pretrained(model, save(source.state_dict()))
        assert (report.layout, report.variant, report.fused) == ('timm', variant, fused)
        with torch.no_grad():
            found = model(images)
        assert max(map(relative_error, found, expected)) < 1e-4
        from_timm = snapshot(model)
        for tensor in model.state_dict().values():
            tensor.zero_()
        apple = renamed(source.state_dict(), 'apple')
        report = load_pretrained(model, save(dict(state_dict=apple)))
        assert (report.layout, report.variant, report.fused) == ('apple', variant, fused)
        assert_same(model.state_dict(), from_timm)


def test_folded_file_equals_folding_after_loading(timm_t8, save):
    """The rest is folded in float64: half precision files lose nothing more than their own."""
    first = load_and_return(t8(), save(timm_t8.state_dict()))
    reparameterize(first.eval())
    file = timm.utils.reparameterize_model(timm_t8).state_dict()
    second = load_and_return(t8(reparameterized=True), save(file))
    found = second.state_dict()
    for name, tensor in first.state_dict().items():
        assert relative_error(found[name], tensor) < 1e-5, name


def load_and_return(model, path):
    load_pretrained(model, path)
    return model


# --- layouts, prefixes, wrappers -------------------------------------------------------------


@pytest.fixture(scope='module')
def mci0():
    return make_timm('mci0', num_classes=0)


@pytest.mark.parametrize(
    ('style', 'prefix', 'layout', 'others'),
    [
        ('apple', 'image_encoder.model.', 'mobileclip', ('text_encoder.w', 'logit_scale')),
        ('timm', 'visual.trunk.', 'openclip', ('text.w', 'visual.head.proj.weight')),
        ('timm', 'module.visual.trunk.', 'openclip', ('module.text.w',)),
    ],
)
def test_clip_files(mci0, save, style, prefix, layout, others):
    state = renamed(mci0.state_dict(), style, prefix)
    others = [*others, f'{prefix}head.proj']
    state |= {name: torch.zeros(2) for name in others}
    model = FastViT('mci0', out_norm=None)
    report = load_pretrained(model, save(state))
    assert (report.layout, report.fused) == (layout, False)
    assert set(others) <= set(report.ignored)
    ours = to_ours(mci0.state_dict(), 'timm')
    values = {ours[key]: tensor for key, tensor in mci0.state_dict().items() if ours[key]}
    assert_same(snapshot(model), {name: values[name] for name in model.state_dict()})


def test_fastvlm_files(mci0, save):
    """FastVLM publishes folded towers only; the prefix decides, so a small variant will do."""
    state = timm.utils.reparameterize_model(mci0).state_dict()
    prefix = 'model.vision_tower.vision_tower.model.'
    file = renamed(state, 'apple', prefix) | {'model.layers.0.mlp.weight': torch.zeros(2)}
    model = FastViT('mci0', reparameterized=True)
    report = load_pretrained(model, save(file, 'pytorch_model.bin'))
    assert (report.layout, report.fused) == ('fastvlm', True)
    assert report.missing == tuple(n for n in model.state_dict() if n.startswith('out_norms'))
    assert 'model.layers.0.mlp.weight' in report.ignored


def test_features_only_file(save):
    oracle = make_timm('t8')
    plain = load_and_return(t8(), save(oracle.state_dict()))
    with torch.device('meta'):
        features = timm.create_model('fastvit_t8', features_only=True)
    state = dict(zip(features.state_dict(), oracle.state_dict().values(), strict=False))
    assert 'stages_3.blocks.1.layer_scale.gamma' in state
    model = t8()
    report = load_pretrained(model, save(state))
    assert (report.layout, report.ignored) == ('timm', ())
    assert_same(model.state_dict(), plain.state_dict())


@pytest.mark.parametrize('reparameterized', [False, True])
def test_own_files_and_whole_models(save, reparameterized):
    source = randomise(FastViT('t8', reparameterized=reparameterized), seed=5)
    state = source.state_dict()
    model = FastViT('t8', reparameterized=reparameterized)
    report = load_pretrained(model, save(state))
    assert (report.layout, report.fused) == ('fastvit_dense', reparameterized)
    assert report.missing == report.ignored == ()
    assert_same(model.state_dict(), state)

    detector = {f'backbone.{name}': tensor for name, tensor in state.items()}
    detector |= {'neck.conv.weight': torch.zeros(1), 'rpn_head.bias': torch.zeros(1)}
    checkpoint = dict(meta=dict(epoch=3), state_dict=detector, optimizer=dict(state={}))
    model = FastViT('t8', out_norm=None, reparameterized=reparameterized)
    report = load_pretrained(model, save(checkpoint))
    assert {'neck.conv.weight', 'backbone.out_norms.0.weight'} <= set(report.ignored)
    assert_same(model.state_dict(), {k: v for k, v in state.items() if not k.startswith('out_')})


@pytest.mark.parametrize(
    'wrapper', ['state_dict', 'model', 'module', 'state_dict_ema', 'model_ema']
)
def test_wrappers(t8_apple, save, wrapper):
    state = {f'module.{key}': tensor for key, tensor in t8_apple.items()}
    report = load_pretrained(t8(), save({'epoch': 3, 'arch': 'fastvit_t8', wrapper: state}))
    assert (report.entry, report.layout) == (wrapper, 'apple')


def test_averaged_weights_are_taken(t8_apple, save):
    averaged = {k: v + 1 if v.is_floating_point() else v for k, v in t8_apple.items()}
    model = t8()
    report = load_pretrained(model, save(dict(state_dict=t8_apple, state_dict_ema=averaged)))
    assert report.entry == 'state_dict_ema'
    key = 'patch_embed.0.rbr_conv.0.conv.weight'
    assert torch.equal(model.stem[0].conv_kxk[0].conv.weight, averaged[key])


def test_mmengine_saves_the_average_as_the_weights(save):
    """EMAHook swaps: `ema_state_dict` of its files is what was trained, with a prefix."""
    averaged, trained = (randomise(t8(), seed).state_dict() for seed in (1, 2))
    ema = {f'module.backbone.{k}': v for k, v in trained.items()} | {'steps': torch.tensor(7)}
    weights = {f'backbone.{k}': v for k, v in averaged.items()}
    model = t8()
    load_pretrained(model, save(dict(state_dict=weights, ema_state_dict=ema)))
    assert_same(model.state_dict(), averaged)
    report = load_pretrained(model, save(dict(ema_state_dict=ema)))
    assert report.ignored == ('steps',)
    assert_same(model.state_dict(), trained)


def test_safetensors(timm_t8, tmp_path):
    from safetensors.torch import save_file

    save_file(timm_t8.state_dict(), tmp_path / 'model.safetensors')
    assert load_pretrained(t8(), tmp_path / 'model.safetensors').layout == 'timm'


def test_half_precision_file(timm_t8, save):
    half = {k: v.half() if v.is_floating_point() else v for k, v in timm_t8.state_dict().items()}
    model = load_and_return(t8(), save(half))
    weight = model.stem[0].conv_kxk[0].conv.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, half['stem.0.conv_kxk.0.conv.weight'].float())


# --- outputs, norms, counters ----------------------------------------------------------------


def test_output_norms_stay_new(t8_apple, save):
    model = FastViT('t8', out_indices=(1, 3))
    randomise(model.out_norms, seed=4)
    before = snapshot(model.out_norms)
    report = load_pretrained(model, save(t8_apple))
    assert len(report.missing) == 2 * 5
    assert all(name.startswith(('out_norms.1.', 'out_norms.3.')) for name in report.missing)
    assert_same(model.out_norms.state_dict(), before)
    table = str(report).splitlines()
    assert '(t8, layout apple, unfolded)' in table[0]
    assert [line.split() for line in table[1:7]] == [
        ['stem', '35', 'of', '35', 'tensors'],
        ['stage', '0', '68', 'of', '68', 'tensors'],
        ['stage', '1', '91', 'of', '91', 'tensors'],
        ['stage', '2', '159', 'of', '159', 'tensors'],
        ['stage', '3', '91', 'of', '91', 'tensors'],
        ['output', 'norms', '0', 'of', '10', 'tensors'],
    ]
    assert table[7].strip() == "not the backbone's: 18 tensors: conv_exp (16), head (2)"


def test_output_norms_of_apples_dense_code_do_not_disturb(save):
    """Its norm6 stands behind the positional encoding for SA12, which is no stage's end."""
    state = renamed(make_timm('sa12', num_classes=0).state_dict(), 'apple', 'backbone.')
    norms = {
        f'backbone.norm{n}.weight': torch.full((64 << n // 2,), float(n)) for n in (0, 2, 4, 6)
    }
    model = FastViT('sa12', out_indices=(0, 3))
    report = load_pretrained(model, save(dict(state_dict=state | norms)))
    ignored = {key for key in report.ignored if 'conv_exp' not in key}
    assert ignored == set(list(norms)[1:])
    assert 'out_norms.0.weight' in report.loaded
    assert (model.out_norms['3'].weight == 1).all()


def test_stages_behind_the_last_output_are_ignored(t8_apple, save):
    report = load_pretrained(FastViT('t8', out_indices=(0, 2), out_norm=None), save(t8_apple))
    assert {key.split('.')[1] for key in report.ignored if key.startswith('network')} == {'5', '6'}


def test_batch_counters_may_be_absent(t8_apple, save):
    state = {k: v for k, v in t8_apple.items() if not k.endswith('num_batches_tracked')}
    report = load_pretrained(t8(), save(state))
    assert report.missing
    assert all(name.endswith('num_batches_tracked') for name in report.missing)


def test_init_cfg_takes_this_path(t8_apple, save):
    init_cfg = dict(type='Pretrained', checkpoint=str(save(t8_apple)))
    model = FastViT('t8', init_cfg=init_cfg)
    log = logging.handlers.BufferingHandler(1000)
    logger = MMLogger.get_current_instance()
    logger.addHandler(log)
    model.init_weights()
    logger.removeHandler(log)
    assert any('stage 2       159 of  159 tensors' in r.getMessage() for r in log.buffer)
    weight = t8_apple['patch_embed.0.rbr_conv.0.conv.weight']
    assert torch.equal(model.stem[0].conv_kxk[0].conv.weight, weight)
    with raises_naming(CheckpointMismatch, init_cfg['checkpoint'], 't8', 't12'):
        FastViT('t12', init_cfg=init_cfg).init_weights()


# --- what does not fit -----------------------------------------------------------------------


def refuse(model, path, *facts):
    """Assert that loading raises, names the file and the facts, and changes nothing."""
    before = snapshot(model)
    with raises_naming(CheckpointMismatch, path, *facts):
        load_pretrained(model, path)
    assert_same(model.state_dict(), before)


def test_folded_file_into_unfolded_network(timm_t8, save):
    state = timm.utils.reparameterize_model(timm_t8).state_dict()
    for style in ('timm', 'apple'):
        path = save(renamed(state, style))
        refuse(t8(), path, 'folded', 'reparameterized=True')


def test_unfolded_file_into_folded_network(timm_t8, t8_apple, save):
    facts = ['unfolded', 'folded', 'first load', 'then reparameterize']
    refuse(t8(reparameterized=True), save(t8_apple), *facts)
    refuse(reparameterize(t8().eval()), save(timm_t8.state_dict()), *facts)


@pytest.mark.parametrize('reparameterized', [False, True])
def test_other_variants(timm_t8, save, reparameterized):
    source = timm.utils.reparameterize_model(timm_t8) if reparameterized else timm_t8
    path = save(source.state_dict())
    for arch in ('t12', 'sa12', 'mci0'):
        model = FastViT(arch, out_norm=None, reparameterized=reparameterized)
        refuse(model, path, 't8', arch, 'of another shape')


def test_missing_left_over_and_reshaped_tensors(t8_apple, save):
    key = 'network.2.1.convffn.fc1.weight'
    name = 'stages.1.blocks.1.mlp.fc1.weight'
    less = {k: v for k, v in t8_apple.items() if k != key}
    refuse(t8(), save(less), 1, 'missing', name)
    refuse(t8(), save(t8_apple | {'network.2.1.extra': torch.zeros(1)}), 1, 'not in', 'extra')
    other = save(t8_apple | {key: torch.zeros(288, 96)})
    refuse(t8(), other, name, 'expected', (288, 96, 1, 1), 'found', (288, 96))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_not_finite(t8_apple, save, value):
    key = 'network.2.1.convffn.fc1.bias'
    broken = t8_apple | {key: t8_apple[key].clone()}
    broken[key][3] = value
    refuse(t8(), save(broken), 1, 'NaN', 'Inf', 'stages.1.blocks.1.mlp.fc1.bias')


def test_folded_file_with_a_part_missing(timm_t8, save):
    state = timm.utils.reparameterize_model(timm_t8).state_dict()
    del state['stages.0.blocks.0.mlp.conv.bn.running_var']
    refuse(
        t8(reparameterized=True),
        save(state),
        *(1, 'missing', 'stages.0.blocks.0.mlp.conv.conv.bias'),
        *('not in the network', 'stages.0.blocks.0.mlp.conv.bn'),
    )


def test_other_networks(save):
    resnet = timm.create_model('resnet18').state_dict()
    refuse(t8(), save(resnet), 'FastViT', 'conv1.weight')


def test_damaged_files(t8_apple, save):
    path = save(t8_apple)
    path.write_bytes(path.read_bytes()[:100_000])
    refuse(t8(), path, 'truncated')
    path.write_bytes(b'')
    refuse(t8(), path, 'zero bytes')


def test_files_without_weights(save):
    for content, found in (({'epoch': 3}, 'epoch'), ([1, 2], 'list'), ({}, 'nothing')):
        refuse(t8(), save(content), 'found', found)


def test_missing_file_and_misspelt_name(tmp_path):
    refuse(t8(), tmp_path / 'absent.pth', 'no such file')
    with raises_naming(CheckpointError, 'apple/fastvit_sa25', 'not published', 'sa24'):
        load_pretrained(t8(), 'apple/fastvit_sa25')


def test_not_a_fastvit():
    with raises_naming(TypeError, 'FastViT', 'Linear'):
        load_pretrained(torch.nn.Linear(1, 1), 'x.pth')


def test_timm_registry_is_untouched():
    assert sys.modules['timm'].create_model.__module__.startswith('timm')
    assert timm.model_entrypoint('fastvit_t8').__module__ == 'timm.models.fastvit'
