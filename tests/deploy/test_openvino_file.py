"""OpenVINO files: written as its own converter does, read with their weights, damage is named."""

import io

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fastvit_dense.deploy.openvino_file import _convert
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from tests.facts import raises_naming

openvino = pytest.importorskip('openvino', reason='extra [deploy] is not installed')
pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def content():
    """A graph with weights that are quantised, a convolution and steps that fold into others."""
    random = np.random.default_rng(0)
    arrays = {
        'kernel': random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        'scales': np.float32([0.01, 0.02, 0.03, 0.04]),
        'zeros': np.zeros(4, np.int8),
        'factor': np.float32([2]),
    }
    nodes = [
        helper.make_node('QuantizeLinear', ['kernel', 'scales', 'zeros'], ['whole'], axis=0),
        helper.make_node('DequantizeLinear', ['whole', 'scales', 'zeros'], ['weight'], axis=0),
        helper.make_node('Conv', ['image', 'weight'], ['features'], pads=[1, 1, 1, 1]),
        helper.make_node('Mul', ['features', 'factor'], ['scaled']),
        helper.make_node('Relu', ['scaled'], ['output']),
    ]
    graph = helper.make_graph(
        nodes,
        'small',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, [1, 3, 8, 'width'])],
        [helper.make_tensor_value_info('output', TensorProto.FLOAT, [1, 4, 8, 'width'])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def written(model, folder):
    """The operations of a model in order, and the bytes of its weights."""
    openvino.save_model(model, folder / 'model.xml', compress_to_fp16=False)
    operations = [node.get_type_name() for node in model.get_ordered_ops()]
    return operations, (folder / 'model.bin').read_bytes()


def test_the_file_is_that_of_the_converter(content, tmp_path):
    found = written(_convert(content), tmp_path)
    assert 'Convolution' in found[0]
    assert written(openvino.convert_model(io.BytesIO(content)), tmp_path) == found


def test_bad_files(files, tmp_path):
    source = files('hand', 'openvino')
    with raises_naming(ExportError, tmp_path / 'none.xml', 'no such file'):
        ExportedNetwork(tmp_path / 'none.xml')
    path = tmp_path / 'bad.xml'
    path.write_bytes(source.read_bytes())
    with raises_naming(ExportError, path, 'bad.bin', 'not beside it'):
        ExportedNetwork(path)
    weights = source.with_suffix('.bin').read_bytes()
    path.with_suffix('.bin').write_bytes(weights[: len(weights) // 2])
    with raises_naming(ExportError, path, 'damaged'):
        ExportedNetwork(path)
    path.with_suffix('.bin').write_bytes(weights)
    path.write_text(source.read_text()[:5000])
    with raises_naming(ExportError, path, 'damaged'):
        ExportedNetwork(path)
    path.write_text(source.read_text().replace('fastvit_dense_export', 'other'))
    with raises_naming(ExportError, path, 'metadata task', 'fastvit-dense export'):
        ExportedNetwork(path)
