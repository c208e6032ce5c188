"""Files of lower precision: what is stored and computed in what; the operator sets they name."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from fastvit_dense import load_model
from fastvit_dense.deploy.half import LIMITS, for_half
from fastvit_dense.deploy.onnx_file import keep_used_domains
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.graphs.agreement import MAX_ERROR, MIN_DETECTIONS, Line

from .conftest import OPTIONS

pytestmark = pytest.mark.integration


def bytes_by_type(model):
    """How many bytes of weights are of each type."""
    found = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        found[tensor.data_type] = found.get(tensor.data_type, 0) + array.nbytes
    return found


@pytest.mark.parametrize('precision', OPTIONS)
def test_files_say_what_they_are(files, precision):
    """No domain without a node of it, in a file that onnx's own checker takes."""
    path = files('semantic', 'onnx', precision)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain for entry in model.opset_import} == {
        node.domain for node in model.graph.node
    }
    network = ExportedNetwork(path)
    assert network.description.precision == precision
    assert network(np.zeros((2, 3, 64, 96)))['logits'].shape[::2] == (2, 64)
    (given,) = model.graph.input
    assert {v.type.tensor_type.elem_type for v in (given, *model.graph.output)} == {1}  # float32


def test_domains_that_no_node_needs_go():
    node = onnx.helper.make_node('Relu', ['x'], ['y'], domain='ai.onnx')
    values = [onnx.helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in 'xy']
    graph = onnx.helper.make_graph([node], 'g', values[:1], values[1:])
    sets = [('', 17), ('com.microsoft', 1), ('ai.onnx.ml', 3), ('ai.onnx', 17)]
    ids = [onnx.helper.make_opsetid(*one) for one in sets]
    model = onnx.helper.make_model(graph, opset_imports=ids)
    keep_used_domains(model)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [('', 17)]


@pytest.mark.parametrize(
    'task', ['semantic', 'hand', pytest.param('instance', marks=pytest.mark.slow)]
)
def test_networks_are_in_half(request, files, checkpoint, task, photo):
    """And give what PyTorch gives, about."""
    path = files(task, 'onnx', 'fp16')
    model = onnx.load(path)
    sizes = bytes_by_type(model)
    if task == 'semantic':  # the others hold hands and heads in float32
        assert sizes[TensorProto.FLOAT16] > 0.99 * sum(sizes.values())
    assert sizes[TensorProto.FLOAT16] > sizes.get(TensorProto.FLOAT, 0)
    kept = {node.op_type for node in model.graph.node if node.name.startswith('/normalize/')}
    assert kept <= {'Sub', 'Constant'}
    config = request.getfixturevalue(f'tiny_{task}')
    one, other = load_model(config, checkpoint(task))(photo), load_model(path)(photo)
    if task == 'semantic':
        assert (one.labels == other.labels).mean() > 0.98
    elif task == 'hand':
        np.testing.assert_allclose(one.vertices, other.vertices, atol=2e-3)
    else:
        assert abs(len(one) - len(other)) <= 0.1 * len(one)


@pytest.mark.parametrize('task', ['semantic', pytest.param('hand', marks=pytest.mark.slow)])
def test_openvino_stores_half(files, task):
    pytest.importorskip('openvino')
    half, full = files(task, 'openvino', 'fp16'), files(task, 'onnx', 'fp32')
    assert half.with_suffix('.bin').stat().st_size < 0.55 * full.stat().st_size
    assert ExportedNetwork(half).description.precision == 'fp16'


def test_every_zero_point_is_zero(files):
    """And weights have a scale for each channel, as with zero points."""
    model = onnx.load(files('semantic', 'onnx', 'int8 symmetric'))
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    counts = {'QuantizeLinear': 0, 'DequantizeLinear': 0}
    for node in model.graph.node:
        if node.op_type in counts:
            counts[node.op_type] += 1
            assert tensors[node.input[2]].dtype == np.int8
            assert not tensors[node.input[2]].any()
    assert min(counts.values()) > 40
    convs = [node for node in model.graph.node if node.op_type == 'Conv']
    for conv in convs:
        weight = makers[conv.input[1]]
        assert weight.op_type == makers[conv.input[0]].op_type == 'DequantizeLinear'
        array, scales = (tensors[name] for name in weight.input[:2])
        assert array.dtype == np.int8
        assert scales.shape == array.shape[:1]
        if len(conv.input) > 2:
            assert tensors[conv.input[2]].dtype == np.float32
    assert len(convs) > 40


@pytest.mark.slow
def test_symmetric_for_openvino_and_hands(files):
    pytest.importorskip('openvino')
    for task in ('semantic', 'hand'):
        assert ExportedNetwork(files(task, 'openvino', 'int8 symmetric')).count is None


def test_limits_of_half():
    for limit, coarser in LIMITS.items():
        assert for_half(Line('x', 0.0, limit)).limit == coarser
    assert not for_half(Line('x', 0.05, MAX_ERROR)).passed
    assert not for_half(Line('x', float('nan'), MAX_ERROR)).passed
    assert for_half(Line('x', 60, MIN_DETECTIONS, at_least=True)).limit == MIN_DETECTIONS
    assert for_half(Line('x', 1.0, None)).limit is None
