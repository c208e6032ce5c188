"""An export format of one's own is found by `--format`, and its check decides the exit status."""

import pytest
import torch

from fastvit_dense.deploy.export import export
from fastvit_dense.errors import ExportError


def test_torchscript(variant, tiny_semantic, random_semantic, tmp_path, capsys):
    config = variant('semfpn_torchscript.py', tiny_semantic)
    out = tmp_path / 'semfpn.pt'
    assert export(config, random_semantic, 'torchscript', out) == 0
    assert 'logits' in capsys.readouterr().out
    assert torch.jit.load(out)(torch.zeros(1, 3, 64, 96)).shape[2:] == (64, 96)


def test_unknown_format_names_those_that_are_known(tiny_semantic, random_semantic, tmp_path):
    with pytest.raises(ExportError) as error:
        export(tiny_semantic, random_semantic, 'tflite', tmp_path / 'x.tflite')
    assert {'tflite', 'onnx,'} <= set(str(error.value).replace(':', '').split())


def test_suffix_is_the_formats(variant, tiny_semantic, random_semantic, tmp_path):
    config = variant('semfpn_torchscript.py', tiny_semantic)
    with pytest.raises(ExportError) as error:
        export(config, random_semantic, 'torchscript', tmp_path / 'x.onnx')
    assert '.pt' in str(error.value)
