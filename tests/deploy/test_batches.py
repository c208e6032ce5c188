"""Files with a batch axis: each image as if alone; used where pictures come together."""

import json

import numpy as np
import onnx
import pytest

from fastvit_dense import engine, load_model
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from fastvit_dense.graphs.agreement import relative_error
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
KINDS = [
    ('semantic', 'onnx'),
    ('hand', 'openvino'),
    pytest.param('hand', 'onnx', marks=pytest.mark.slow),
    pytest.param('semantic', 'openvino', marks=pytest.mark.slow),
]


@pytest.mark.parametrize(('task', 'kind'), KINDS)
def test_each_image_as_if_alone(files, task, kind):
    network = ExportedNetwork(files(task, kind))
    assert network.count is None
    assert network.description.takes_batches
    assert network.description.input_layout.startswith('(batch, 3, height, width)')
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 96, 96))
    alone = [network(image[None]) for image in images]
    for count in (1, 2, 3):
        together = network(images[:count])
        for name, array in together.items():
            assert array.shape == (count, *alone[0][name].shape[1:])
            for expected, found in zip(alone[:count], array, strict=True):
                assert relative_error(expected[name][0], found) < 1e-4


@pytest.mark.parametrize('task', ['semantic', 'hand'])
def test_predictor_runs_batches(files, task, photo, monkeypatch):
    """Five pictures of two sizes: as one by one, in as many runs as there are sizes in a batch."""
    model, runs = load_model(files(task, 'onnx')), []
    network = model.model.network
    run = network.run
    monkeypatch.setattr(network, 'run', lambda image: runs.append(len(image)) or run(image))
    pictures = [photo, photo[:, ::-1].copy(), photo[:100], photo[::-1].copy(), photo[5:105]]
    alone = [model(picture) for picture in pictures]
    assert runs == [1] * 5
    runs.clear()
    together = model(pictures, batch_size=4)
    assert runs == ([3, 1, 1] if task == 'semantic' else [4, 1])
    for one, other in zip(alone, together, strict=True):
        if task == 'semantic':
            assert (one.labels == other.labels).mean() > 0.999
        else:
            np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-5)


def test_predict_with_batches(files, hand_tree, tmp_path):
    source = str(hand_tree / 'evaluation/rgb')
    found = {}
    for size in (1, 3):
        out = tmp_path / str(size)
        settings = dict(pictures=False, batch_size=size)
        engine.predict(str(files('hand', 'onnx')), None, source, str(out), **settings)
        lines = (out / 'predictions.jsonl').read_text().splitlines()
        found[size] = [json.loads(line) for line in lines]
    assert [one['image'] for one in found[1]] == [one['image'] for one in found[3]]
    for one, other in zip(found[1], found[3], strict=True):
        np.testing.assert_allclose(one['joints'], other['joints'], atol=1e-5)


@pytest.mark.parametrize('kind', ['openvino', pytest.param('onnx', marks=pytest.mark.slow)])
def test_detectors_take_one_image(files, kind, photo):
    """How many objects an image has is not known before, so lists are run one by one."""
    path = files('instance', kind)
    network = ExportedNetwork(path)
    assert network.count == 1
    assert not network.description.takes_batches
    with raises_naming(ExportError, path, '(1, 3, height, width)', (2, 3, 64, 64)):
        network(np.zeros((2, 3, 64, 64)))
    model = load_model(path)
    assert [len(one) for one in model([photo, photo])] == [len(model(photo))] * 2


def test_outputs_that_are_not_of_the_batch(files, tmp_path):
    """A file that takes batches and gives one sum of all."""
    model = onnx.load(files('hand', 'onnx'))
    image, out = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (('image', ['batch', 3, 'height', 'width']), ('camera', [1, 1, 1, 1]))
    )
    node = onnx.helper.make_node('ReduceSum', ['image'], ['camera'], keepdims=1)
    model.graph.CopyFrom(onnx.helper.make_graph([node], 'other', [image], [out]))
    path = tmp_path / 'sum.onnx'
    path.write_bytes(model.SerializeToString())
    network = ExportedNetwork(path)
    with raises_naming(ExportError, path, 2, "'camera'", (1, 1, 1, 1)):
        network.each([np.zeros((1, 3, 8, 8))] * 2)
