"""Whole models from their checkpoints: every tensor or none."""

import pytest
import torch
from torch import nn

from fastvit_dense.backbones import FastViT, reparameterize
from fastvit_dense.checkpoints.model import fitting_weights, load_model_state
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.errors import CheckpointMismatch
from tests.facts import raises_naming

from .saving import write


class Detector(nn.Module):
    def __init__(self, arch='t8', **kwargs):
        super().__init__()
        self.backbone = FastViT(arch, **kwargs)
        self.head = nn.Linear(4, 2)


@pytest.fixture(scope='module')
def detector_file(tmp_path_factory):
    model = Detector()
    content = dict(meta=dict(epoch=3), state_dict=model.state_dict(), optimizer=dict(state={}))
    return write(tmp_path_factory.mktemp('files') / 'detector.pth', content, 'zip')


def refuse(model, path, *facts):
    """Assert that loading raises, names the file and the facts, and changes nothing."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with raises_naming(CheckpointMismatch, path, *facts):
        load_model_state(model, path)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_model_state(detector_file):
    model = Detector()
    assert load_model_state(model, detector_file) == dict(epoch=3)
    saved = load_checkpoint_file(detector_file)['state_dict']
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, saved[name])


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'module._orig_mod.', 'model.'])
def test_names_that_a_wrapper_gave(detector_file, tmp_path, prefix):
    saved = load_checkpoint_file(detector_file)['state_dict']
    state = {f'{prefix}{name}': tensor for name, tensor in saved.items()}
    path = write(tmp_path / 'x.pth', state, 'zip')
    model = Detector()
    load_model_state(model, path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, saved[name])
    assert len(fitting_weights(Detector(), str(path))[0]) == len(saved)
    two = {f'{net}.{name}': t for net in ('student', 'teacher') for name, t in saved.items()}
    refuse(Detector(), write(tmp_path / 'two.pth', two, 'zip'), 'not in the network', 'student')


def test_model_state_of_another_variant(detector_file):
    refuse(Detector('t12'), detector_file, 't8', 't12')


def test_model_state_folded_and_not(detector_file, tmp_path):
    folded = reparameterize(Detector().eval())
    refuse(folded, detector_file, 'model is folded', 'first load, then reparameterize')
    path = write(tmp_path / 'folded.pth', folded.state_dict(), 'zip')
    refuse(Detector(), path, 'file is folded', 'reparameterize', 'before loading')
    assert load_model_state(Detector(reparameterized=True), path) == {}


def test_backbone_file_for_a_whole_model(tmp_path):
    path = write(tmp_path / 'backbone.pth', FastViT('t8').state_dict(), 'zip')
    refuse(Detector(), path, 'backbone', 'fastvit_dense', "init_cfg=dict(type='Pretrained'")


def test_model_state_details(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = model.state_dict()
    del state['1.num_batches_tracked']
    load_model_state(
        model, write(tmp_path / 'x.pth', {f'module.{k}': v for k, v in state.items()}, 'zip')
    )
    other = {**state, '0.weight': torch.zeros(4, 2), 'extra': torch.zeros(1)}
    del other['0.bias']
    other['1.bias'] = torch.full((3,), torch.nan)
    path = write(tmp_path / 'x.pth', other, 'zip')
    refuse(
        model,
        path,
        *(1, 'missing', '0.bias'),
        *(1, 'not in the network', 'extra'),
        *(1, 'another shape', '0.weight', 'expected', (3, 2), 'found', (4, 2)),
        *(1, 'NaN or Inf', '1.bias'),
    )
