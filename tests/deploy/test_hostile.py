"""Exported files of strangers: what would take memory or time without end is refused."""

import json

import numpy as np
import onnx
import pytest
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fastvit_dense.deploy.description import Description
from fastvit_dense.deploy.onnx_file import read_onnx
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from tests.facts import raises_naming
from tests.fuzzing import CASES, damaged, edited, fuzz

DESCRIPTION = Description(
    **dict(task='semantic', part='model', config='x.py', classes=['a', 'b'], input_size=[8, 8]),
    **dict(dynamic_size=True, mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0]),
)


def write(path, nodes, initializers=(), description=DESCRIPTION):
    """An ONNX file of our description whose nodes lead from `image` to `logits`."""
    image = helper.make_tensor_value_info('image', TensorProto.FLOAT, [1, 3, 'height', 'width'])
    logits = helper.make_tensor_value_info('logits', TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, 'x', [image], [logits], list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, description.to_strings())
    path.write_bytes(model.SerializeToString())
    return path


def numbers(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


IMAGE = np.zeros((1, 3, 8, 8), np.float32)
GOOD = [helper.make_node('Relu', ['image'], ['logits'])]
HUGE = [helper.make_node('ConstantOfShape', ['shape'], ['huge'])]
HUGE += [helper.make_node('Add', ['image', 'huge'], ['logits'])]
# the shape follows from the picture: (8, 8) to the power of 6 and more
DYNAMIC = [helper.make_node('Shape', ['image'], ['shape'])]
DYNAMIC += [helper.make_node('Mul', ['shape', 'factors'], ['large'])]
DYNAMIC += [helper.make_node('Expand', ['one', 'large'], ['logits'])]


def test_good_file(tmp_path):
    network = ExportedNetwork(write(tmp_path / 'x.onnx', GOOD))
    assert network(IMAGE)['logits'].shape == (1, 3, 8, 8)


def test_value_that_takes_terabytes(tmp_path):
    path = write(tmp_path / 'x.onnx', HUGE, [numbers('shape', 100_000, 1_000_000)])
    with raises_naming(ExportError, path, 'refused', 'huge', '400,000,000,000 bytes'):
        ExportedNetwork(path)


def test_value_that_follows_from_the_picture(tmp_path):
    """Its size is seen by the runtime alone, whose error is told in one line."""
    one = numpy_helper.from_array(np.ones(1, np.float32), 'one')
    path = write(tmp_path / 'x.onnx', DYNAMIC, [numbers('factors', 1, 1, 10**6, 10**6), one])
    network = ExportedNetwork(path)
    with raises_naming(ExportError, path, 'onnxruntime', 'cannot run it') as caught:
        network(IMAGE)
    assert len(str(caught.value).splitlines()) == 1


def test_loops_are_refused(tmp_path):
    cond = helper.make_tensor_value_info('go', TensorProto.BOOL, [])
    step = helper.make_tensor_value_info('step', TensorProto.INT64, [])
    value = helper.make_tensor_value_info('value', TensorProto.FLOAT, None)
    result = helper.make_tensor_value_info('result', TensorProto.FLOAT, None)
    on = helper.make_tensor_value_info('on', TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            helper.make_node('Identity', ['go'], ['on']),
            helper.make_node('Sin', ['value'], ['result']),
        ],
        *('body', [step, cond, value], [on, result]),
    )
    loop = helper.make_node('Loop', ['count', '', 'image'], ['logits'], body=body)
    path = write(tmp_path / 'x.onnx', [loop], [numbers('count', 2**62)])
    with raises_naming(ExportError, path, 'Loop', 'without end'):
        ExportedNetwork(path)


@pytest.mark.parametrize('text', ['<net', '<net name="x" version="11"><layers>' * 50])
def test_openvino_files(tmp_path, text):
    pytest.importorskip('openvino')
    (tmp_path / 'x.xml').write_text(text)
    (tmp_path / 'x.bin').write_bytes(b'')
    with raises_naming(ExportError, tmp_path / 'x.xml', 'damaged'):
        ExportedNetwork(tmp_path / 'x.xml')


def test_openvino_value_that_takes_terabytes(tmp_path):
    openvino = pytest.importorskip('openvino')
    from openvino import opset13 as ops

    from fastvit_dense.deploy.openvino_file import ENTRY

    image = ops.parameter([1, 3, -1, -1], np.float32, 'image')
    huge = ops.broadcast(ops.reduce_sum(image, [0, 1, 2, 3]), [100_000, 1_000_000])
    model = openvino.Model([ops.reduce_sum(huge, [0])], [image], 'x')
    for name, value in DESCRIPTION.to_strings().items():
        model.set_rt_info(value, [ENTRY, name])
    openvino.save_model(model, tmp_path / 'x.xml', compress_to_fp16=False)
    with raises_naming(ExportError, tmp_path / 'x.xml', '400,000,000,000 bytes'):
        ExportedNetwork(tmp_path / 'x.xml')


@CASES
def test_metadata(cases):
    """What is read has the types and sizes that the code behind it counts on."""
    strings = DESCRIPTION.to_strings()
    names = ('classes', 'input_size', 'dynamic_size', 'mean', 'std', 'parameters', 'macs')

    def read(change):
        name, text = change
        found = Description.from_strings({**strings, name: text}, 'x.onnx')
        assert all(isinstance(one, str) for one in found.classes)
        assert [type(n) for n in found.input_size] == [int, int]
        assert np.isfinite([*found.mean, *found.std]).all()

    pairs = [edited(json.loads(strings[name])).map(lambda t, n=name: (n, t)) for name in names]
    pairs.append(st.tuples(st.sampled_from(list(strings)), st.text(max_size=20)))
    pairs.append(st.just(('classes', '[' * 3000)))
    fuzz(cases, st.one_of(pairs), read)
    assert Description.from_strings(strings, 'x.onnx') == DESCRIPTION


@CASES
def test_damaged_graphs(tmp_path, cases):
    content = write(tmp_path / 'x.onnx', HUGE, [numbers('shape', 2, 3)]).read_bytes()

    def read(data):
        (tmp_path / 'x.onnx').write_bytes(data)
        read_onnx(tmp_path / 'x.onnx')

    fuzz(cases, damaged(content), read)
    read(content)
    assert onnx.load(tmp_path / 'x.onnx').graph.node
