"""FastViT: sizes against the published tables, values against timm, training behaviour."""

import copy
import functools
import shutil

import pytest
import timm
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

from fastvit_dense.backbones import FastViT, count_macs, reparameterize
from fastvit_dense.backbones.blocks import Attention
from fastvit_dense.backbones.convolutions import SqueezeExcite
from fastvit_dense.backbones.norms import LayerNorm2d
from fastvit_dense.backbones.variants import VARIANTS
from fastvit_dense.errors import ConfigError

from ..facts import raises_naming
from .randomise import randomise, relative_error

# of each kind; the others have the same blocks in other numbers, which the tables below count
QUICK = ('t8', 't12', 's12', 'sa12', 'sa24', 'mci0')
REST = [
    pytest.param(arch, marks=pytest.mark.slow) for arch in VARIANTS if arch not in (*QUICK, 'hd')
]

# arch: parameters in M with four output norms and no head, train form and folded (where the table
# keeps the norms of ConvFFN and attention and the layer scales); GMACs folded at 512x512
SIZES = {
    't8': (3.173, 3.146, 2.74),
    't12': (6.384, 6.343, 5.56),
    's12': (8.304, 8.263, 7.17),
    'sa12': (10.411, 10.380, 7.84),
    'sa24': (20.385, 20.336, 15.24),
    'sa36': (30.358, 30.292, 22.64),
    'ma36': (42.650, 42.572, 31.61),
}
# the same without output norms, with the 3x3 convolution in front of the classifier
MCI_PARAMETERS = {
    'mci0': (10.88, 10.83),
    'mci1': (21.02, 20.94),
    'mci2': (35.16, 35.05),
    'mci3': (122.88, 122.71),
    'mci4': (318.64, 318.42),
}


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@functools.cache
def meta(arch, **kwargs):
    with torch.device('meta'):
        return FastViT(arch, **kwargs)


def stages(arch):
    return tuple(range(len(VARIANTS[arch].layers)))


def head_convolution_parameters(channels):
    """Return the parameters of a MobileOne 3x3 depthwise C -> 2C with SE, train form and folded."""
    out = 2 * channels
    squeeze_excite = 2 * out * (out // 16) + out // 16 + out
    return out * (9 + 2 + 1 + 2) + squeeze_excite, out * (9 + 1) + squeeze_excite


@pytest.mark.parametrize('arch', SIZES)
def test_sizes(arch):
    train, folded, gmacs = SIZES[arch]
    assert round(parameters(meta(arch)) / 1e6, 3) == train
    model = meta(arch, reparameterized=True)
    assert parameters(model) / 1e6 == pytest.approx(folded, rel=0.01)
    macs = count_macs(model, torch.empty(1, 3, 512, 512, device='meta'))
    assert macs / 1e9 == pytest.approx(gmacs, rel=0.01)


@pytest.mark.parametrize('arch', MCI_PARAMETERS)
def test_parameter_counts_of_mci(arch):
    kwargs = dict(out_indices=stages(arch), out_norm=None)
    train, folded = MCI_PARAMETERS[arch]
    head_train, head_folded = head_convolution_parameters(VARIANTS[arch].embed_dims[-1])
    assert round((parameters(meta(arch, **kwargs)) + head_train) / 1e6, 2) == train
    model = meta(arch, reparameterized=True, **kwargs)
    assert (parameters(model) + head_folded) / 1e6 == pytest.approx(folded, rel=0.01)


@pytest.mark.parametrize('arch', [*QUICK, *REST])
def test_agrees_with_timm(arch):
    """The same tensors under timm's names compute the same stage ends, odd sizes included."""
    expected_model = randomise(timm.create_model(f'fastvit_{arch}', num_classes=0)).eval()
    model = FastViT(arch, out_indices=stages(arch), out_norm=None).eval()
    state = {
        key.removesuffix('.gamma'): tensor
        for key, tensor in expected_model.state_dict().items()
        if not key.startswith(('final_conv.', 'head.'))
    }
    model.load_state_dict(state)
    images = torch.randn(1, 3, 47, 33, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = expected_model.forward_intermediates(images, intermediates_only=True)
        outputs = model(images)
        folded = reparameterize(model)(images)
    assert len(outputs) == len(expected) == len(VARIANTS[arch].layers)
    for output, fold, target in zip(outputs, folded, expected, strict=True):
        assert relative_error(output, target) < 1e-4
        assert relative_error(fold, target) < 1e-4


def test_hd_is_mci3():
    assert VARIANTS['hd'] is VARIANTS['mci3']
    model = meta('hd', out_indices=(0, 1, 2, 3, 4))
    assert model.out_channels == (96, 192, 384, 768, 1536)
    assert model.out_strides == (4, 8, 16, 32, 64)


@pytest.mark.parametrize(
    'arch',
    [
        *('t8', 'sa12', 'mci0'),
        *(pytest.param(arch, marks=pytest.mark.slow) for arch in ('sa24', 'sa36', 'ma36')),
    ],
)
def test_every_parameter_gets_a_gradient(arch):
    torch.manual_seed(0)
    model = FastViT(arch)
    outputs = model(torch.randn(2, 3, 33, 33))
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (63, 100), (125, 33)])
@pytest.mark.parametrize('reparameterized', [False, True])
def test_output_sizes(size, reparameterized):
    model = FastViT('sa12', reparameterized=reparameterized).eval()
    with torch.no_grad():
        outputs = model(torch.randn(1, 3, *size))
    assert model.out_channels == (64, 128, 256, 512)
    for output, channels, stride in zip(
        outputs, model.out_channels, model.out_strides, strict=True
    ):
        assert output.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))
        assert output.isfinite().all()


def test_out_indices_choose_stages_and_drop_what_follows():
    model = FastViT('sa12', out_indices=(1, 2), out_norm=None).eval()
    assert model.out_channels == (128, 256)
    assert model.out_strides == (8, 16)
    assert len(model.stages) == 3
    whole = FastViT('sa12', out_norm=None).eval()
    whole.load_state_dict(model.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(model(images), whole(images)[1:3], strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ('out_norm', 'kind'),
    [
        ('BN', nn.BatchNorm2d),
        ('SyncBN', nn.SyncBatchNorm),
        (dict(type='BN', eps=0.5), nn.BatchNorm2d),
        (dict(type='GN', num_groups=4), nn.GroupNorm),
        ('LN', LayerNorm2d),
    ],
)
def test_output_norms(out_norm, kind):
    model = FastViT('t8', out_indices=(0, 2), out_norm=out_norm).eval()
    raw = FastViT('t8', out_indices=(0, 2), out_norm=None).eval()
    raw.load_state_dict(model.state_dict(), strict=False)
    assert list(model.out_norms) == ['0', '2']
    assert all(isinstance(norm, kind) for norm in model.out_norms.values())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for norm, feature, output in zip(
            model.out_norms.values(), raw(images), model(images), strict=True
        ):
            assert torch.equal(norm(feature), output)


def norms_of(model):
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def test_norm_cfg_reaches_every_norm_inside():
    synced = meta('sa12', norm_cfg='SyncBN')
    with torch.device('meta'):
        quick = FastViT('sa12', norm_cfg=dict(type='BN', momentum=0.5))
    assert sum(not isinstance(norm, nn.SyncBatchNorm) for norm in norms_of(synced)) == 4
    assert [norm.momentum for norm in norms_of(quick)].count(0.1) == 4  # the output norms
    assert {norm.momentum for norm in norms_of(quick)} == {0.1, 0.5}


def test_drop_path_rates_are_those_of_timm():
    from mmcv.cnn.bricks import DropPath

    expected = timm.create_model('fastvit_sa12', drop_path_rate=0.2)
    for out_indices in ((0, 1, 2, 3), (0, 1)):
        model = FastViT('sa12', out_indices=out_indices, drop_path_rate=0.2)
        for stage, expected_stage in zip(model.stages, expected.stages, strict=False):
            for block, reference in zip(stage.blocks, expected_stage.blocks, strict=True):
                path = getattr(reference, 'drop_path1', None) or reference.drop_path
                rate = block.drop_path.drop_prob if isinstance(block.drop_path, DropPath) else 0
                assert rate == pytest.approx(getattr(path, 'drop_prob', 0))


def test_layer_scales_start_as_in_the_original():
    for arch, value in (('sa12', 1e-5), ('sa36', 1e-6), ('ma36', 1e-6), ('mci1', 1e-5)):
        scales = [
            p for n, p in FastViT(arch, out_indices=(0,)).named_parameters() if 'layer_scale' in n
        ]
        assert scales
        assert all((p == value).all() for p in scales)


def running_statistics(module):
    return {n: t.clone() for n, t in module.state_dict().items() if 'running' in n}


def changed(before, module):
    after = module.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.mark.parametrize('frozen_stages', [-1, 0, 2, 4])
def test_frozen_stages(frozen_stages):
    model = FastViT('sa12', frozen_stages=frozen_stages).train()
    before = running_statistics(model)
    sum(output.sum() for output in model(torch.randn(2, 3, 40, 33))).backward()
    frozen = (
        *(['stem.'] if frozen_stages >= 0 else []),
        *(f'stages.{i}.' for i in range(max(frozen_stages, 0))),
    )
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen))
        assert (parameter.grad is None) == name.startswith(frozen)
    moved = changed(before, model)
    assert {name.startswith(frozen) for name in moved} == {False}
    assert len(moved) == sum(not name.startswith(frozen) for name in before)


def test_norm_eval_keeps_the_statistics():
    model = FastViT('sa12', norm_eval=True, drop_path_rate=0.1)
    model.eval().train()
    before = running_statistics(model)
    outputs = model(torch.randn(2, 3, 40, 33))
    sum(output.sum() for output in outputs).backward()
    assert not changed(before, model)
    assert all(p.grad is not None for p in model.parameters())
    assert model.stages[3].blocks[1].drop_path.training


@pytest.mark.parametrize('norm_eval', [False, True])
def test_checkpointing_trains_the_same(norm_eval):
    plain = randomise(FastViT('sa12', drop_path_rate=0.3, norm_eval=norm_eval))
    saving = FastViT('sa12', drop_path_rate=0.3, norm_eval=norm_eval, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 40, 33)
    for model in (plain, saving):
        torch.manual_seed(3)
        sum(output.square().mean() for output in model(images)).backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    state = saving.state_dict()
    for name, tensor in plain.state_dict().items():  # a batch recomputed is counted once
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize(
    ('arch', 'outputs'),
    [('t8', (0,)), pytest.param('sa12', (0, 1, 2, 3), marks=pytest.mark.slow)],
)
def test_checkpointing_compiles(arch, outputs):
    """One graph, with the gradients and the statistics of the model that is not compiled."""
    plain = randomise(FastViT(arch, out_indices=outputs))
    saving = FastViT(arch, out_indices=outputs, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    torch._dynamo.reset()
    compiled = torch.compile(saving, backend='aot_eager', fullgraph=True)
    images = torch.randn(2, 3, 64, 64)
    found = {}
    for name, run in (('plain', plain), ('compiled', compiled)):
        found[name] = run(images)
        sum(output.square().mean() for output in found[name]).backward()
    torch.testing.assert_close(found['compiled'], found['plain'], rtol=1e-4, atol=1e-5)
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)
    state = saving.state_dict()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(tensor, state[name], msg=name)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('g++'), reason='inductor needs a compiler')
def test_checkpointing_changes_no_bit_of_compiled_training():
    """Both by inductor: one of 4,096 outputs of SA12 is 1.4e-5 off eager's with it or without."""
    weights = randomise(FastViT('sa12')).state_dict()
    images = torch.randn(2, 3, 64, 64)
    found = []
    for with_cp in (False, True):
        model = FastViT('sa12', with_cp=with_cp)
        model.load_state_dict(weights)
        torch._dynamo.reset()
        outputs = torch.compile(model, backend='inductor', fullgraph=True)(images)
        sum(output.square().mean() for output in outputs).backward()
        found.append([*outputs, *(p.grad for p in model.parameters()), *model.buffers()])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_the_seed_decides_the_weights():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(FastViT('t8').state_dict()['stages.0.blocks.0.mlp.fc1.weight'])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_registry_and_copies():
    model = MODELS.build(dict(type='FastViT', arch='t8', out_indices=[0, 3])).eval()
    assert isinstance(model, FastViT)
    assert model.out_indices == (0, 3)
    images = torch.randn(1, 3, 32, 32)
    twin = copy.deepcopy(reparameterize(model))
    with torch.no_grad():
        assert torch.equal(model(images)[1], twin(images)[1])


def test_timm_keeps_its_own_models():
    assert timm.model_entrypoint('fastvit_sa12').__module__ == 'timm.models.fastvit'


@pytest.mark.parametrize(
    ('kwargs', 'facts'),
    [
        (dict(arch='sa13'), ['arch', 'sa13', 'sa12', 'mci4', 'hd']),
        (dict(arch='T8'), ['arch', 'T8', 't8']),
        (dict(out_indices=(0, 4)), ['out_indices', (0, 4), 'increasing', 0, 3, 'sa12']),
        (dict(out_indices=(-1,)), ['out_indices', (-1,), 0, 3]),
        (dict(out_indices=()), ['out_indices', (), 0, 3]),
        (dict(out_indices=(1, 1)), ['out_indices', (1, 1), 'increasing']),
        (dict(out_indices=(2, 1)), ['out_indices', (2, 1), 'increasing']),
        (dict(out_indices=(0.0, 1)), ['out_indices', (0.0, 1), 0, 3]),
        (dict(out_indices=3), ['out_indices', 3, 0, 3]),
        (dict(frozen_stages=5), ['frozen_stages', 5, 'sa12', -1, 4]),
        (dict(frozen_stages=-2), ['frozen_stages', -2, 'sa12', -1, 4]),
        (dict(drop_path_rate=1.0), ['drop_path_rate', 1.0, 0, 1]),
        (dict(drop_path_rate=-0.1), ['drop_path_rate', -0.1, 0, 1]),
        (dict(norm_cfg=dict(type='GN', num_groups=1)), ['norm_cfg', 'GN', 'BatchNorm', 'BN']),
        (dict(norm_cfg=None), ['norm', None]),
        (dict(norm_cfg='NoSuchNorm'), ['norm', 'NoSuchNorm', 'registry']),
        (dict(out_norm=dict(eps=1)), ['norm', {'eps': 1}, 'type']),
        (dict(out_norm=dict(type='BN', epsilon=1)), ['norm', 'BN', 'epsilon', 'epsilon']),
        (dict(out_norm=''), ['out_norm', 'type']),
        (dict(out_norm=2), ['out_norm', 2, 'BN', 'dict']),
        (dict(norm_cfg='no'), ['norm_cfg', 'no', 'BN', 'SyncBN']),
        (dict(arch=[]), ['arch', [], 'known', 't8']),
        (dict(frozen_stages='1'), ['frozen_stages', "'1'", -1, 4]),
        (dict(frozen_stages=1.0), ['frozen_stages', 1.0, -1, 4]),
        (dict(drop_path_rate='0.1'), ['drop_path_rate', "'0.1'", 0, 1]),
        (dict(drop_path_rate=None), ['drop_path_rate', None, 0, 1]),
        (dict(overparameterized='no'), ['overparameterized', "'no'", True, False]),
        (dict(large_kernels='no'), ['large_kernels', "'no'", True, False]),
        (dict(reparameterized=2), ['reparameterized', 2, True, False]),
        (dict(norm_eval=None), ['norm_eval', None, True, False]),
        (dict(with_cp=[]), ['with_cp', [], True, False]),
        (dict(init_cfg='a.pth'), ['init_cfg', "'a.pth'", 'Pretrained', 'checkpoint']),
        (dict(init_cfg=dict(checkpoint='a.pth')), ['init_cfg', 'a.pth', 'type', 'Pretrained']),
        (dict(init_cfg=[None]), ['init_cfg', [None], 'type']),
        (dict(out_norm='GN'), ['norm', 'GN', 'GN', 'num_groups']),
        (dict(out_norm=dict(type='GN')), ['norm', {'type': 'GN'}, 'GN', 'num_groups']),
        (dict(out_norm=dict(type='GN', num_groups=7)), ['norm', 'num_groups', 7, 'num_groups']),
    ],
)
def test_bad_arguments(kwargs, facts):
    with raises_naming(ValueError, *facts):
        FastViT(**{'arch': 'sa12', **kwargs})


def test_pretrained_without_a_file_is_refused():
    model = FastViT('t8', out_indices=(0,), init_cfg=dict(type='Pretrained'))
    with raises_naming(ConfigError, 'init_cfg', 'Pretrained', 'checkpoint'):
        model.init_weights()
    assert not model.is_init


def test_pretrained_is_loaded_once_and_not_overwritten_by_the_model_around_it(tmp_path):
    source = randomise(FastViT('t8', out_indices=(0,)))
    path = tmp_path / 't8.pth'
    torch.save(source.state_dict(), path)
    pretrained = dict(type='Pretrained', checkpoint=str(path))
    constant = dict(type='Constant', layer='Conv2d', val=0.5)

    class Detector(BaseModule):
        def __init__(self):
            super().__init__(init_cfg=constant)
            self.backbone = FastViT('t8', out_indices=(0,), init_cfg=[pretrained, constant])
            self.neck = nn.Conv2d(48, 4, 1)

    detector = Detector()
    detector.init_weights()
    loaded = detector.backbone.state_dict()
    for key, tensor in source.state_dict().items():
        assert torch.equal(loaded[key], tensor), key
    assert (detector.neck.weight == 0.5).all()
    assert detector.backbone.init_cfg == [pretrained, constant]
    path.unlink()
    detector.backbone.init_weights()


def test_init_weights_applies_other_types_once():
    cfg = dict(type='Constant', layer='Conv2d', val=0.5, bias=0)
    model = FastViT('t8', out_indices=(0,), init_cfg=cfg)
    model.init_weights()
    assert (model.stages[0].blocks[0].mlp.fc1.weight == 0.5).all()
    model.stages[0].blocks[0].mlp.fc1.weight.data.zero_()
    model.init_weights()
    assert (model.stages[0].blocks[0].mlp.fc1.weight == 0).all()


def test_attention_is_softmax_attention():
    attention = Attention(96).double()
    x = torch.randn(2, 96, 3, 5, dtype=torch.float64)
    tokens = x.flatten(2).mT
    query, key, value = (part.unflatten(-1, (3, 32)) for part in attention.qkv(tokens).chunk(3, -1))
    weights = torch.einsum('bqhc,bkhc->bhqk', query, key).div(32**0.5).softmax(-1)
    mixed = torch.einsum('bhqk,bkhc->bqhc', weights, value).flatten(2)
    expected = attention.proj(mixed).mT.reshape(x.shape)
    torch.testing.assert_close(attention(x), expected)


def test_squeeze_excite_gates_by_the_global_mean():
    module, x = SqueezeExcite(8).double(), torch.randn(2, 8, 3, 4, dtype=torch.float64)
    mean = x.mean((2, 3))
    hidden = (mean @ module.fc1.weight.flatten(1).T + module.fc1.bias).clamp(min=0)
    gates = torch.sigmoid(hidden @ module.fc2.weight.flatten(1).T + module.fc2.bias)
    torch.testing.assert_close(module(x), x * gates[:, :, None, None])


def test_order_of_parameters():
    """An optimizer's state is kept by it: a resumed run would mix up what it reads."""
    names = [name.partition('.')[0] for name, _ in FastViT('t8').named_parameters()]
    assert list(dict.fromkeys(names)) == ['stem', 'stages', 'out_norms']
