"""MobileViT and MobileViTv2: values against timm and golden outputs, folding, training."""

import copy
import json

import pytest
import timm
import torch
from mmengine.registry import MODELS
from torch import nn

from fastvit_dense.backbones import MobileViT, reparameterize
from fastvit_dense.backbones.mobilevit_blocks import fold, unfold
from fastvit_dense.backbones.mobilevit_variants import MOBILEVIT_VARIANTS

from ..facts import raises_naming
from .randomise import randomise, relative_error
from .timm_oracle import mobilevit_outputs, timm_mobilevit

ALL = tuple(range(5))
FIRST = ('xxs', 'xs', 's')
SECOND = ('0.5', '1.0', '2.0')
# parameters of timm's whole classifiers less what stands behind the backbone
CHECKED = {'xxs': 1.272e6, 'xs': 2.318e6, 's': 5.579e6}


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def without_classifier(state):
    return {k: v for k, v in state.items() if not k.startswith(('final_conv.', 'head.'))}


def built(arch, state, **kwargs):
    model = MobileViT(arch, out_indices=ALL, **kwargs).eval()
    model.load_state_dict(state)
    return model


def test_golden_outputs(shared_dir, seeded):
    golden = json.loads((shared_dir / 'golden' / 'mobilevit_xs_timm.json').read_text())
    model = built('xs', without_classifier(seeded.seeded_state_dict(golden['keys'])))
    checked = 0
    for given, expected in (('input', 'stages'), ('input_odd', 'stages_odd')):
        if given in golden:
            images = seeded.seeded_input(**golden[given])
            with torch.no_grad():
                plain = model(images)
                folded = reparameterize(copy.deepcopy(model))(images)
            for outputs in (plain, folded):
                for output, summary in zip(outputs, golden[expected], strict=True):
                    seeded.check(output, summary)
                    checked += 1
    assert checked >= 10


@pytest.mark.parametrize('size', [(64, 64), (49, 71)])
@pytest.mark.parametrize('arch', [*FIRST, *SECOND])
def test_agrees_with_timm(arch, size):
    """Whole and folded, even sizes and odd ones."""
    oracle = timm_mobilevit(arch)
    model = built(arch, without_classifier(oracle.state_dict()))
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = mobilevit_outputs(oracle, images)
    with torch.no_grad():
        outputs = model(images)
        folded = reparameterize(model)(images)
    for output, fold_output, target in zip(outputs, folded, expected, strict=True):
        assert relative_error(output, target) < 1e-4
        assert relative_error(fold_output, target) < 1e-4


@pytest.mark.parametrize('output_stride', [16, 8])
@pytest.mark.parametrize('arch', ['xxs', '0.5'])
def test_output_strides_agree_with_timm(arch, output_stride):
    oracle = timm_mobilevit(arch, output_stride=output_stride)
    state = without_classifier(oracle.state_dict())
    model = built(arch, state, output_stride=output_stride)
    assert model.out_strides == tuple(min(stride, output_stride) for stride in (2, 4, 8, 16, 32))
    images = torch.rand(1, 3, 64, 82, generator=torch.Generator().manual_seed(0))
    expected = mobilevit_outputs(oracle, images)
    with torch.no_grad():
        outputs = model(images)
        folded = reparameterize(model)(images)
    for output, fold_output, target in zip(outputs, folded, expected, strict=True):
        assert relative_error(output, target) < 1e-4
        assert relative_error(fold_output, target) < 1e-4


@pytest.mark.parametrize('output_stride', [16, 8])
def test_blocks_without_dilation(output_stride):
    """As in the original's first version: at stride 16 nothing is dilated any more."""
    model = MobileViT('xxs', output_stride=output_stride, block_dilation=False)
    dilated = [name for name, m in model.named_modules() if getattr(m, 'dilation', 1) == (2, 2)]
    assert dilated == ([] if output_stride == 16 else ['stages.4.0.conv2_kxk.conv'])
    assert len(model.state_dict()) == len(MobileViT('xxs').state_dict())


@pytest.mark.parametrize('arch', MOBILEVIT_VARIANTS)
def test_tensors_are_those_of_timm(arch):
    """All widths, the ones between the compared included; the counts that are published."""
    with torch.device('meta'):
        oracle = timm_mobilevit(arch, filled=False)
        model = MobileViT(arch, out_indices=ALL)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    expected = without_classifier(oracle.state_dict())
    assert shapes == {name: tensor.shape for name, tensor in expected.items()}
    if arch in CHECKED:
        assert model.out_channels[-1] == {'xxs': 80, 'xs': 96, 's': 160}[arch]
        behind = [p for n, p in oracle.named_parameters() if n.startswith(('final_', 'head.'))]
        count = sum(p.numel() for p in (*model.parameters(), *behind))
        assert count == pytest.approx(CHECKED[arch], abs=500)


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (40, 72)])
def test_sizes_of_the_first_version(size):
    model = MobileViT('xxs', out_indices=ALL).eval()
    with torch.no_grad():
        outputs = model(torch.rand(1, 3, *size))
    for output, channels, stride in zip(
        outputs, model.out_channels, model.out_strides, strict=True
    ):
        assert output.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_sizes_of_the_second_version_are_even():
    model = MobileViT('0.5', out_indices=ALL).eval()
    with torch.no_grad():
        sizes = [output.shape[2:] for output in model(torch.rand(1, 3, 72, 64))]
    assert sizes == [(36, 32), (18, 16), (10, 8), (6, 4), (4, 2)]


def test_unfold_orders_by_patches_and_fold_undoes_it():
    x = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    patches = unfold(x)
    expected = nn.functional.unfold(x, 2, stride=2).reshape(2, 3, 4, 6)  # torch's own
    assert torch.equal(patches, expected)
    assert torch.equal(fold(patches, 4, 6), x)


@pytest.mark.parametrize('arch', ['xxs', '0.5'])
def test_every_parameter_gets_a_gradient(arch):
    torch.manual_seed(0)
    model = MobileViT(arch, out_norm='BN')
    outputs = model(torch.rand(2, 3, 65, 97))
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize('frozen_stages', [-1, 0, 3, 5])
def test_frozen_stages(frozen_stages):
    model = MobileViT('xxs', out_indices=ALL, frozen_stages=frozen_stages).train()
    frozen = (
        *(['stem.'] if frozen_stages >= 0 else []),
        *(f'stages.{i}.' for i in range(max(frozen_stages, 0))),
    )
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen))
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == (not name.startswith(frozen))


def test_norm_eval_and_dropout():
    model = MobileViT('xxs', out_norm='BN', norm_eval=True, dropout=0.25).train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    dropouts = [m for m in model.modules() if isinstance(m, nn.Dropout)]
    assert len(dropouts) == 2 + 4 + 3
    assert all(dropout.training and dropout.p == 0.25 for dropout in dropouts)
    images = torch.rand(1, 3, 64, 64)
    assert not torch.equal(model(images)[-1], model(images)[-1])


def test_checkpointing_trains_the_same():
    plain = randomise(MobileViT('xxs', dropout=0.2))
    saving = MobileViT('xxs', dropout=0.2, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    images = torch.rand(2, 3, 64, 64)
    for model in (plain, saving):
        torch.manual_seed(3)
        sum(output.square().mean() for output in model(images)).backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    state = saving.state_dict()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize('arch', ['xxs', '0.5'])
def test_folding_leaves_no_batch_norm(arch):
    folded = reparameterize(MobileViT(arch).eval())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert folded.state_dict().keys() == MobileViT(arch, reparameterized=True).state_dict().keys()
    with raises_naming(ValueError, 'stem.bn', 'training mode', 'model.eval()'):
        reparameterize(MobileViT(arch).train())


def test_folding_what_stands_around():
    """The scale and order of the input go into the stem, the output norms into convolutions."""
    model = randomise(MobileViT('xxs', out_norm='BN')).eval()
    images = torch.rand(1, 3, 48, 64) * 255
    with torch.no_grad():
        expected = model(images.flip(1) / 255)
        with raises_naming(ValueError, 'folded', 'reparameterize'):
            model.fold_input_scale(torch.full((3,), 255.0), reverse=True)
        reparameterize(model)
        model.fold_input_scale(torch.full((3,), 255.0), reverse=True)
        model.fold_outputs(())
        outputs = model(images)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    for output, target in zip(outputs, expected, strict=True):
        assert relative_error(output, target) < 1e-4


def test_registry():
    model = MODELS.build(dict(type='MobileViT', arch='xxs', out_indices=[2, 4]))
    assert isinstance(model, MobileViT)
    assert (model.out_channels, model.out_strides) == ((48, 80), (8, 32))
    assert timm.model_entrypoint('mobilevit_s').__module__ == 'timm.models.mobilevit'


@pytest.mark.parametrize(
    ('kwargs', 'facts'),
    [
        (dict(arch='m'), ['arch', 'm', 'xxs', 's', '0.5', '2.0']),
        (dict(arch=1.0), ['arch', 1.0, 'xxs', '1.0', 'text', "'1.0'"]),
        (dict(arch={}), ['arch', {}, 'xxs', '2.0']),
        (dict(output_stride=16.0), ['output_stride', 16.0, 32, 16, 8]),
        (dict(output_stride=[]), ['output_stride', [], 32, 16, 8]),
        (dict(block_dilation='no'), ['block_dilation', "'no'", True, False]),
        (dict(dropout='0.1'), ['dropout', "'0.1'", 0, 1]),
        (dict(norm_eval='yes'), ['norm_eval', "'yes'", True, False]),
        (dict(out_indices='3'), ['out_indices', "'3'", 0, 4]),
        (dict(output_stride=4), ['output_stride', 4, 32, 16, 8]),
        (dict(out_indices=(1, 5)), ['out_indices', (1, 5), 0, 4, 's']),
        (dict(frozen_stages=6), ['frozen_stages', 6, -1, 5]),
        (dict(dropout=1.0), ['dropout', 1.0, 0, 1]),
        (dict(norm_cfg=dict(type='GN', num_groups=1)), ['norm_cfg', 'GN', 'BatchNorm']),
    ],
)
def test_bad_arguments(kwargs, facts):
    with raises_naming(ValueError, *facts):
        MobileViT(**kwargs)
