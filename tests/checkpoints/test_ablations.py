"""Files of networks with and without the paper's ablations: loaded rightly, or refused in words."""

import pytest
import torch

from fastvit_dense import FastViT, load_pretrained, reparameterize
from fastvit_dense.checkpoints.model import load_model_state
from fastvit_dense.errors import CheckpointMismatch
from tests.facts import raises_naming

SINGLE, SMALL = dict(overparameterized=False), dict(large_kernels=False)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Files of T8 by what it was built with; 'folded' ones besides."""
    folder = tmp_path_factory.mktemp('ablations')
    paths = {}
    for name, switches in (('whole', {}), ('single', SINGLE), ('small', SMALL)):
        torch.manual_seed(0)
        model = FastViT('t8', **switches).eval()
        for form in ('', ' folded'):
            paths[name + form] = folder / f'{name}{form}.pth'
            torch.save({'state_dict': model.state_dict()}, paths[name + form])
            reparameterize(model)
    return paths


@pytest.mark.parametrize(('name', 'switches'), [('single', SINGLE), ('small', SMALL)])
def test_own_files_load(files, name, switches):
    report = load_pretrained(FastViT('t8', **switches), files[name])
    assert not report.missing
    folded = FastViT('t8', reparameterized=True, **switches)
    assert load_pretrained(folded, files[f'{name} folded']).fused


def test_folded_files_do_not_tell_branches(files):
    """Folded, both are one network: any of the published folded files fits."""
    single = FastViT('t8', reparameterized=True, **SINGLE)
    load_pretrained(single, files['whole folded'])
    images = torch.randn(1, 3, 32, 32)
    whole = FastViT('t8', reparameterized=True)
    load_pretrained(whole, files['whole folded'])
    with torch.no_grad():
        assert torch.equal(single.eval()(images)[3], whole.eval()(images)[3])


@pytest.mark.parametrize(
    ('file', 'switches', 'facts'),
    [
        ('whole', SINGLE, ['overparameterized=True', 'overparameterized=False', 'published']),
        ('single', {}, ['trained with overparameterized=False', 'build the network']),
        ('whole', SMALL, ['large_kernels=True', 'large_kernels=False', 'published']),
        ('small', {}, ['trained with large_kernels=False', 'build the network']),
        ('whole folded', SMALL | dict(reparameterized=True), ['large_kernels=True']),
    ],
)
def test_other_files_are_refused_in_words(files, file, switches, facts):
    backbone = FastViT('t8', **switches)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with raises_naming(CheckpointMismatch, files[file], *facts):
        load_pretrained(backbone, files[file])
    assert all(torch.equal(t, before[n]) for n, t in backbone.state_dict().items())


def test_whole_models_are_refused_in_words(files, tmp_path):
    model = torch.nn.ModuleDict(dict(backbone=FastViT('t8', **SINGLE)))
    state = torch.nn.ModuleDict(dict(backbone=FastViT('t8'))).state_dict()
    torch.save({'state_dict': state}, tmp_path / 'model.pth')
    with raises_naming(CheckpointMismatch, 'overparameterized=True'):
        load_model_state(model, tmp_path / 'model.pth')
