"""An export format of one's own is found by `--format`, and its check decides the exit status."""

import pytest
import torch

from fastvit_dense.deploy import ExportFormat
from fastvit_dense.deploy.export import export
from fastvit_dense.deploy.formats import FORMATS
from fastvit_dense.errors import ExportError
from tests.facts import raises_naming


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


def test_functions_that_write_or_compare_nothing(
    tiny_semantic, random_semantic, tmp_path, monkeypatch, capsys
):
    def add(name, function):
        monkeypatch.setitem(FORMATS, name, ExportFormat(name, '.mine', (), function))

    out = tmp_path / 'x.mine'
    add('nothing', lambda job, out: iter(()))
    with raises_naming(ExportError, f'--out {out}', 'wrote no such file'):
        export(tiny_semantic, random_semantic, 'nothing', out)
    add('no_check', lambda job, out: out.touch())
    assert export(tiny_semantic, random_semantic, 'no_check', out) == 0
    assert f'{out}: written, but its format compares nothing' in capsys.readouterr().out
