"""Folding: the tensor functions against the operations they replace, `reparameterize` on models."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

from fastvit_dense.backbones import FastViT, reparameterize
from fastvit_dense.backbones.blocks import RepMixerBlock
from fastvit_dense.backbones.reparam import (
    batch_norm_affine,
    fold_affine_after,
    fold_affine_before,
    fold_repmixer,
    identity_kernel,
    pad_kernel,
)

from ..facts import raises_naming
from .randomise import randomise, relative_error

D = torch.float64
ROOT = Path(__file__).parents[2]


def batch_norm(channels, **kwargs):
    norm = nn.BatchNorm2d(channels, dtype=D, **kwargs).eval()
    randomise(norm)
    return norm


def affine(norm):
    return batch_norm_affine(norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps)


@pytest.mark.parametrize('kwargs', [{}, {'affine': False}, {'eps': 0.1}])
def test_batch_norm_is_its_affine_map(kwargs):
    norm, x = batch_norm(5, **kwargs), torch.randn(2, 5, 3, 4, dtype=D)
    scale, shift = affine(norm)
    torch.testing.assert_close(scale.view(5, 1, 1) * x + shift.view(5, 1, 1), norm(x))


@pytest.mark.parametrize('bias', [None, torch.randn(6, dtype=D)])
@pytest.mark.parametrize('groups', [1, 3, 6])
def test_batch_norm_folds_into_the_convolution_before_it(bias, groups):
    norm, x = batch_norm(6), torch.randn(2, 6, 9, 8, dtype=D)
    weight = torch.randn(6, 6 // groups, 3, 3, dtype=D)
    expected = norm(F.conv2d(x, weight, bias, 2, 1, groups=groups))
    got = F.conv2d(x, *fold_affine_after(weight, bias, *affine(norm)), 2, 1, groups=groups)
    torch.testing.assert_close(got, expected)


def test_batch_norm_folds_into_the_linear_layer_after_it():
    norm, x = batch_norm(6), torch.randn(2, 6, 3, 4, dtype=D)
    layer = nn.Linear(6, 4, dtype=D)
    expected = layer(norm(x).flatten(2).mT)
    got = F.linear(x.flatten(2).mT, *fold_affine_before(layer.weight, layer.bias, *affine(norm)))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(('groups', 'size'), [(1, 1), (1, 3), (2, 3), (6, 7)])
def test_identity_kernel_copies(groups, size):
    x = torch.randn(1, 6, 5, 4, dtype=D)
    kernel = identity_kernel(6, groups, size)
    assert torch.equal(F.conv2d(x, kernel, padding=size // 2, groups=groups), x)


@pytest.mark.parametrize(('small', 'large', 'stride'), [(1, 3, 2), (3, 7, 2), (3, 3, 1)])
def test_padded_kernel_computes_the_same_up_to_the_border(small, large, stride):
    x, weight = torch.randn(1, 2, 9, 8, dtype=D), torch.randn(3, 2, small, small, dtype=D)
    expected = F.conv2d(x, weight, stride=stride, padding=small // 2)
    got = F.conv2d(x, pad_kernel(weight, large), stride=stride, padding=large // 2)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize('scale', [None, torch.randn(4, 1, 1, dtype=D)])
def test_repmixer_formula(scale):
    x = torch.randn(2, 4, 5, 6, dtype=D)
    (wm, wn), (bm, bn) = torch.randn(2, 4, 1, 3, 3, dtype=D), torch.randn(2, 4, dtype=D)
    conv = lambda weight, bias: F.conv2d(x, weight, bias, padding=1, groups=4)
    expected = x + (1 if scale is None else scale) * (conv(wm, bm) - conv(wn, bn))
    torch.testing.assert_close(conv(*fold_repmixer((wm, bm), (wn, bn), scale)), expected)


def test_the_functions_compute_in_float64_whatever_comes_in():
    weight, bias = fold_affine_after(torch.ones(2, 1, 1, 1).half(), None, torch.full((2,), 1 / 3))
    assert weight.dtype == bias.dtype == D
    assert weight[0].item() == torch.tensor(1 / 3).item()  # float32's third, not half's


@pytest.fixture(scope='module')
def sa12():
    return randomise(FastViT('sa12')).eval()


@pytest.mark.parametrize('arch', ['t8', 'sa12', 'mci0'])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_outputs_agree(arch, dtype, tolerance):
    model = randomise(FastViT(arch)).eval().to(dtype)
    images = torch.randn(2, 3, 49, 33, dtype=dtype)
    with torch.no_grad():
        expected = model(images)
        got = reparameterize(model)(images)
    for a, b in zip(got, expected, strict=True):
        assert relative_error(a, b) < tolerance


def test_again_changes_nothing(sa12):
    model = reparameterize(copy.deepcopy(sa12))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    assert reparameterize(model) is model
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(('arch', 'with_bn'), [('t8', True), ('mci0', False), ('sa12', True)])
def test_built_folded_has_the_same_state_dict(arch, with_bn):
    out_norm = 'BN' if with_bn else None
    with torch.device('meta'):
        folded = reparameterize(FastViT(arch, out_norm=out_norm).eval()).state_dict()
        built = FastViT(arch, out_norm=out_norm, reparameterized=True)
    assert built.training
    assert {key: tensor.shape for key, tensor in built.state_dict().items()} == {
        key: tensor.shape for key, tensor in folded.items()
    }


class Operations(torch.utils._python_dispatch.TorchDispatchMode):
    """Collect the names of the operators that compute something."""

    VIEWS = ('view', '_unsafe_view', 'transpose', 'permute', 'unbind', 't', 'expand', 'clone')

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name not in self.VIEWS:
            self.names.add(name)
        return func(*args, **(kwargs or {}))


def operations(module, x):
    with torch.no_grad(), Operations() as seen:
        module(x)
    return seen.names


def test_what_is_left_in_a_block(sa12):
    blocks = [sa12.stages[0].blocks[0], sa12.stages[3].blocks[0]]
    folded = reparameterize(copy.deepcopy(nn.ModuleList(blocks)))
    x = [torch.randn(1, 64, 8, 8), torch.randn(1, 512, 4, 4)]
    attention = {'_scaled_dot_product_flash_attention_for_cpu', 'addmm', 'mm'}
    assert {'mul', 'sub', 'native_batch_norm'} <= operations(blocks[0], x[0])
    assert {'mul', 'native_batch_norm'} <= operations(blocks[1], x[1])
    assert operations(folded[0], x[0]) == {'convolution', 'gelu', 'add'}
    assert operations(folded[1], x[1]) == {'convolution', 'gelu', 'add'} | attention


def test_what_is_left_in_a_model(sa12):
    model = reparameterize(copy.deepcopy(sa12))
    norms = [name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [f'out_norms.{i}' for i in range(4)]
    assert not [key for key in model.state_dict() if 'layer_scale' in key]


def test_layer_norm_and_squeeze_excite_stay():
    with torch.device('meta'):
        mci3 = FastViT('mci3', out_indices=(4,), out_norm=None, reparameterized=True)
        mci0 = FastViT('mci0', out_norm=None, reparameterized=True)
    kinds = [type(m).__name__ for m in mci3.modules()]
    assert kinds.count('LayerNorm2d') == 4 + 2
    assert 'BatchNorm2d' not in kinds
    assert [type(m).__name__ for m in mci0.modules()].count('SqueezeExcite') == 2


def test_nested_models_keep_their_other_norms(sa12):
    neck = nn.Sequential(nn.Conv2d(64, 8, 1), nn.BatchNorm2d(8))
    model = nn.ModuleDict({'backbone': copy.deepcopy(sa12), 'neck': neck}).eval()
    reparameterize(model)
    assert isinstance(model.neck[1], nn.BatchNorm2d)
    assert model.backbone.stem[0].reparam_conv is not None


def test_a_whole_mask_rcnn():
    from mmdet.registry import MODELS

    cfg = Config.fromfile(ROOT / 'configs' / 'maskrcnn_fastvit_t8.py').model
    detector = randomise(MODELS.build(cfg)).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = detector.extract_feat(images)
        got = reparameterize(detector).extract_feat(images)
    for a, b in zip(got, expected, strict=True):
        assert relative_error(a, b) < 1e-4
    norms = [name for name, m in detector.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [f'backbone.out_norms.{i}' for i in range(4)]


def test_a_block_by_itself_and_a_model_without_blocks():
    block = randomise(RepMixerBlock(8, 16, 0.0, 1e-5, 'BN')).eval()
    x = torch.randn(1, 8, 5, 5)
    expected = block(x)
    assert relative_error(reparameterize(block)(x), expected) < 1e-5
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    keys = list(plain.state_dict())
    assert list(reparameterize(plain).state_dict()) == keys


@pytest.mark.parametrize(
    'name', ['stem.1.conv_scale.bn', 'stages.3.blocks.1.norm', 'stages.0.blocks.0.mlp.conv.bn']
)
def test_one_batch_norm_in_training_mode_is_refused_by_name(sa12, name):
    model = copy.deepcopy(sa12)
    model.get_submodule(name).train()
    detector = nn.ModuleDict({'backbone': model})
    keys = list(detector.state_dict())
    with raises_naming(ValueError, f'backbone.{name}', 'training', 'model.eval()'):
        reparameterize(detector)
    assert list(detector.state_dict()) == keys


def test_training_mode_is_refused_before_anything_changes(sa12):
    model = copy.deepcopy(sa12).train()
    keys = list(model.state_dict())
    with raises_naming(ValueError, 'stem.0.conv_kxk.0.bn', 'training'):
        reparameterize(model)
    assert list(model.state_dict()) == keys
    assert model.training


def test_norm_eval_training_may_be_folded():
    model = FastViT('t8', out_indices=(0,), norm_eval=True).train()
    assert not reparameterize(model).training


def test_batch_norm_without_statistics_is_refused():
    cfg = dict(type='BN', track_running_stats=False)
    with raises_naming(ValueError, 'stem.0.conv_kxk.0.bn', 'running statistics'):
        reparameterize(FastViT('t8', out_indices=(0,), norm_cfg=cfg).eval())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_models_fold(dtype):
    model = randomise(FastViT('t8', out_norm=None)).eval()
    half = copy.deepcopy(model).to(dtype)
    expected = reparameterize(copy.deepcopy(half).double())
    assert {p.dtype for p in reparameterize(half).parameters()} == {dtype}
    for a, b in zip(half.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b.to(dtype))  # folded in float64, rounded once


def test_frozen_parameters_stay_frozen():
    model = reparameterize(FastViT('sa12', frozen_stages=1, out_norm=None).eval())
    trainable = {
        name.split('.blocks')[0] for name, p in model.named_parameters() if p.requires_grad
    }
    assert not [name for name in trainable if name.startswith(('stem', 'stages.0'))]
    assert all(p.requires_grad for p in model.stages[1:].parameters())
