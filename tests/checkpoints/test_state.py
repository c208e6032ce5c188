"""The weights in a checkpoint."""

import pytest
import torch
from torch import nn

from fastvit_dense import FastViT, load_pretrained
from fastvit_dense.checkpoints.convert import convert_file
from fastvit_dense.checkpoints.model import fitting_weights, load_model_state
from fastvit_dense.checkpoints.state import compare, find_state_dict
from fastvit_dense.errors import CheckpointError, CheckpointMismatch
from tests.facts import raises_naming


def test_weights_are_found_or_told_missing():
    state = dict(a=torch.ones(1))
    assert find_state_dict(state, 'x')[0] == ''
    assert find_state_dict(dict(model=state, epoch=1), 'x')[0] == 'model'
    with raises_naming(CheckpointError, 'x', 'no weights', 'state_dict', 'found', 'epoch'):
        find_state_dict(dict(epoch=1), 'x')


# tensors that are no weights: what makes one of another, and what the message tells
ODD = {
    'int8': (lambda t: t.to(torch.int8), 'torch.int8'),
    'uint16': (lambda t: t.abs().to(torch.uint16), 'torch.uint16'),
    'bool': (lambda t: t.bool(), 'torch.bool'),
    'complex': (lambda t: t.to(torch.complex64), 'torch.complex64'),
    'float8': (lambda t: t.to(torch.float8_e4m3fn), 'torch.float8_e4m3fn'),
    'quantised': (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), 'torch.qint8'),
    'meta': (lambda t: t.to('meta'), 'meta'),
    'huge meta': (lambda t: torch.empty(10**15, device='meta'), 'meta'),
    'sparse': (lambda t: t.to_sparse(), 'to_dense'),
    'sparse rows': (lambda t: t.flatten(1).to_sparse_csr(), 'to_dense'),
    'stride 0': (lambda t: torch.zeros(1).expand(10**12), 'repeats'),
}


@pytest.mark.parametrize('kind', ODD)
@pytest.mark.filterwarnings('ignore')
def test_tensors_of_another_kind(tmp_path, kind):
    """One error by every way in; the network is unchanged."""
    torch.manual_seed(0)
    network = FastViT('t8', out_indices=(0,))
    state = dict(network.state_dict())
    name = 'stages.0.blocks.0.mlp.fc1.weight'
    change, fact = ODD[kind]
    before = state[name].clone()
    state[name] = change(before)
    path = tmp_path / 'x.pth'
    torch.save({'state_dict': state}, path)
    for use in (
        lambda: load_pretrained(network, path),
        lambda: load_model_state(network, path),
        lambda: convert_file(path, tmp_path / 'y.safetensors', 'apple'),
    ):
        with pytest.raises(CheckpointError) as caught:
            use()
        assert fact in str(caught.value)
    if state[name].shape == before.shape:
        with pytest.raises(CheckpointError):
            fitting_weights(network, str(path))
    assert torch.equal(network.state_dict()[name], before)
    assert not (tmp_path / 'y.safetensors').exists()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_fit(dtype):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    halves = {
        n: t.to(dtype) if t.is_floating_point() else t for n, t in network.state_dict().items()
    }
    assert compare(halves, network.state_dict()) == []


def test_names_are_shown_short_and_printable(tmp_path):
    """Names of ten million letters, line breaks and terminal codes stay out of a message."""
    network = nn.Linear(2, 2)
    names = ('x' * 10**7, 'a\nb', '\x1b[31mred', '\ud800')
    torch.save({**network.state_dict(), **dict.fromkeys(names, torch.ones(1))}, tmp_path / 'x.pth')
    with pytest.raises(CheckpointMismatch) as caught:
        load_model_state(network, tmp_path / 'x.pth')
    assert len(str(caught.value)) < 1000
    assert all(line.isprintable() for line in str(caught.value).splitlines())
