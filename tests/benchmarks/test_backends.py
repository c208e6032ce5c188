"""Every runtime computes what PyTorch computes; what is not there is told."""

import sys

import numpy as np
import pytest
import torch

from benchmarks.backends import Setup, make_call, to_arrays
from benchmarks.machine import BenchmarkError
from fastvit_dense.backbones import FastViT, reparameterize
from tests.facts import raises_naming


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return reparameterize(FastViT('sa12').eval())


@pytest.fixture(scope='module')
def images():
    return torch.rand(2, 3, 64, 96)


def largest_error(network, images, setup):
    with torch.no_grad():
        expected = [output.numpy() for output in network(images)]
    call = make_call(network, images, setup)
    found = to_arrays(call())
    again = to_arrays(call())
    assert [array.shape for array in found] == [array.shape for array in expected]
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    return max(
        np.abs(a - b).max() / np.sqrt((b**2).mean()) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize(
    'setup',
    [
        Setup(),
        Setup(layout='channels_last'),
        Setup('onnxruntime'),
        Setup('openvino'),
        pytest.param(Setup('compiled'), marks=pytest.mark.slow),  # a minute of compilation
    ],
    ids=lambda setup: setup.label,
)
def test_same_numbers(network, images, setup):
    if setup.backend in ('onnxruntime', 'openvino'):
        pytest.importorskip(setup.backend)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    assert largest_error(network, images, setup) < 1e-4
    assert next(network.parameters()).is_contiguous()
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])


def test_bf16_is_used_and_near(network, images):
    call = make_call(network, images, Setup(precision='bf16', layout='channels_last'))
    outputs = call()
    assert {output.dtype for output in outputs} == {torch.bfloat16}
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in outputs)
    assert 1e-4 < largest_error(network, images, Setup(precision='bf16')) < 0.5


def test_openvino_computes_in_the_precision_asked_for(network, images):
    openvino = pytest.importorskip('openvino')
    if 'BF16' not in openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
        with raises_naming(BenchmarkError, 'bfloat16'):
            make_call(network, images, Setup('openvino', 'bf16'))
    else:
        assert 1e-3 < largest_error(network, images, Setup('openvino', 'bf16')) < 0.5


@pytest.mark.parametrize(
    ('setup', 'facts'),
    [
        (Setup('onnxruntime', 'bf16'), ('onnxruntime', 'bfloat16', 'openvino')),
        (Setup('cudagraph'), ('CUDA graphs', 'GPU')),
    ],
)
def test_what_cannot_be_run_is_told(network, images, setup, facts):
    """Without the temporary file that a network is written to."""
    pytest.importorskip('onnxruntime')
    with raises_naming(BenchmarkError, *facts) as caught:
        make_call(network, images, setup)
    assert str(caught.value).startswith(facts[0])


@pytest.mark.parametrize('name', ['onnxruntime', 'openvino'])
def test_missing_runtimes_are_named_with_their_extra(network, images, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with raises_naming(
        BenchmarkError, name, 'not installed', f'pip install {name}', 'fastvit-dense[deploy]'
    ) as caught:
        make_call(network, images, Setup(name))
    assert str(caught.value).startswith(name)


@pytest.mark.gpu
@pytest.mark.parametrize('setup', [Setup(), Setup('cudagraph')], ids=lambda setup: setup.label)
def test_on_a_gpu(network, images, setup, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    found = to_arrays(make_call(network, images.cuda(), setup)())
    with torch.no_grad():
        expected = network(images)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(ours - theirs.numpy()).max() < 1e-3 * theirs.square().mean().sqrt()
