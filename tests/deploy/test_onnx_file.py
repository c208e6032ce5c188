"""ONNX files are written from graphs that ONNX has operators for, and read without trust."""

import os

import onnx
import pytest
import torch
from torch import nn

from fastvit_dense.deploy.onnx_file import trace_onnx
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


class Foreign(nn.Module):
    output_names = ('logits',)

    def forward(self, x):
        return torch.special.i0e(x)


def test_operator_that_onnx_has_not(capfd):
    """One line, not the whole graph that PyTorch prints."""
    with raises_naming(ExportError, 'ONNX', 'special_i0e', '--part backbone') as caught:
        trace_onnx(Foreign(), torch.rand(1, 3, 32, 32))
    assert len(str(caught.value).splitlines()) == 1
    assert not capfd.readouterr().out


def truncated(model, path):
    path.write_bytes(model.SerializeToString()[:-1000])


def empty(model, path):
    path.write_bytes(b'')


def text(model, path):
    path.write_text('<html>Sign in</html>')


def of_others(model, path):
    del model.metadata_props[:]
    onnx.save(model, path)


def outside_weights(model, path):
    """The weights of the first tensor are to be read from a file above the folder."""
    (path.parent.parent / 'secret.bin').write_bytes(os.urandom(1 << 16))
    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    onnx.external_data_helper.set_external_data(tensor, '../secret.bin')
    tensor.ClearField('raw_data')
    path.write_bytes(model.SerializeToString())


def foreign_operator(model, path):
    node = model.graph.node.add(op_type='Evil', domain='com.example')
    node.input.append('image')
    node.output.append('evil')
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ('damage', 'facts'),
    [
        (truncated, ['damaged']),
        (empty, ['damaged']),
        (text, ['damaged']),
        (of_others, ['metadata task', 'fastvit-dense export']),
        (outside_weights, ['another file', "'../secret.bin'"]),
        (foreign_operator, ['operator', 'com.example.Evil']),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_bad_files(files, tmp_path, damage, facts):
    (tmp_path / 'folder').mkdir()
    path = tmp_path / 'folder/bad.onnx'
    damage(onnx.load(files('hand', 'onnx')), path)
    with raises_naming(ExportError, path, *facts):
        ExportedNetwork(path)


def test_missing_file(tmp_path):
    with raises_naming(ExportError, tmp_path / 'none.onnx', 'no such file'):
        ExportedNetwork(tmp_path / 'none.onnx')
