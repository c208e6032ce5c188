"""Formats by name."""

from dataclasses import replace

import fastvit_dense.deploy.export  # noqa: F401  (registers those of the package)
from fastvit_dense.deploy.formats import FORMATS, find_format, register_format
from fastvit_dense.errors import ExportError
from tests.facts import raises_naming


def test_the_last_format_of_a_name_counts(monkeypatch):
    onnx = find_format('onnx')
    assert (onnx.name, onnx.suffix) == ('onnx', '.onnx')
    monkeypatch.setitem(FORMATS, 'onnx', onnx)  # which puts it back
    mine = register_format(replace(onnx, suffix='.mine'))
    assert find_format('onnx') is mine


def test_unknown_format_names_those_that_are_known():
    with raises_naming(ExportError, '--format', 'tflite', 'onnx', 'openvino', 'coreml'):
        find_format('tflite')
