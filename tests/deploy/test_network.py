"""Networks without a config become files that the same runtime runs."""

import numpy as np
import pytest
import torch
from torch import nn

from fastvit_dense.deploy.network import export_network
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from tests.facts import raises_naming

SUFFIXES = {'onnx': '.onnx', 'openvino': '.xml'}


class Pyramid(nn.Module):
    """Two maps; the batch norm tells training from evaluation."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image):
        first = self.norm(self.conv(image))
        return [first, first.relu()]


@pytest.fixture(params=SUFFIXES)
def exported(request, tmp_path):
    """A network in eval mode, the images it was traced with, and its file."""
    pytest.importorskip(dict(onnx='onnxruntime').get(request.param, request.param))
    torch.manual_seed(0)
    network, images = Pyramid().eval(), torch.rand(2, 3, 32, 48)
    path = tmp_path / f'pyramid{SUFFIXES[request.param]}'
    export_network(network, images, request.param, path, 'pyramid')
    return network, images, path


def test_file_computes_the_same_and_the_network_stays(exported):
    network, images, path = exported
    assert not any(module.training for module in network.modules())
    with torch.no_grad():
        expected = network(images)
    found = ExportedNetwork(path, threads=1)(images.numpy())
    assert list(found) == ['stage0', 'stage1']
    for ours, theirs in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-5)


def test_file_says_what_it_is_and_takes_no_other_size(exported):
    network, images, path = exported
    file = ExportedNetwork(path)
    description = file.description
    assert (description.config, description.part) == ('pyramid', 'backbone')
    assert (description.input_size, description.dynamic_size) == ([32, 48], False)
    assert description.parameters == sum(p.numel() for p in network.parameters())
    for other in (images[:1], images[:, :2]):
        with raises_naming(ExportError, path, '(2, 3, height, width)', tuple(other.shape)):
            file(other.numpy())
    with raises_naming(ExportError, path, [32, 48], [32, 32]):
        file(images[:, :, :, :32].numpy())


def test_outputs_stay_unless_they_are_not_copied(exported):
    _, images, path = exported
    file, array = ExportedNetwork(path), images.numpy()
    kept = file.run(array)['stage0']
    before = kept.copy()
    changed = file.run(-array)['stage0']
    assert np.array_equal(kept, before)
    assert not np.array_equal(changed, before)
    assert np.array_equal(file.run(array, copy=False)['stage0'], before)


def test_what_this_machine_cannot_do(exported):
    *_, path = exported
    if path.suffix == '.xml':
        with raises_naming(ExportError, path, 'OpenVINO', 'CPU', "'cuda'"):
            ExportedNetwork(path, device='cuda')
        return
    import onnxruntime

    if 'CUDAExecutionProvider' not in onnxruntime.get_available_providers():
        with raises_naming(
            ExportError, path, 'CUDAExecutionProvider', 'pip install onnxruntime-gpu'
        ):
            ExportedNetwork(path, device='cuda')


def test_unknown_format(tmp_path):
    with raises_naming(ExportError, '--format', 'tflite', 'onnx', 'openvino'):
        export_network(
            Pyramid().eval(), torch.rand(1, 3, 32, 32), 'tflite', tmp_path / 'a.tflite', 'pyramid'
        )
