"""Files in place of checkpoints: the same results and scores; what does not fit is refused."""

import functools
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from fastvit_dense import engine, load_model
from fastvit_dense.deploy.export import trace, write
from fastvit_dense.deploy.job import prepare
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import CheckpointError, ExportError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='session')
def torch_report(request, checkpoint):
    """`torch_report(task)`: the report of the checkpoint, made once."""
    return functools.cache(lambda task: evaluate(request, task, checkpoint(task)))


def evaluate(request, task, model):
    config = request.getfixturevalue(f'tiny_{task}')
    with tempfile.TemporaryDirectory() as folder:
        engine.evaluate_checkpoint(str(config), str(model), work_dir=folder)
        return json.loads(Path(folder, 'report.json').read_text())


@pytest.mark.parametrize(
    ('task', 'kind'),
    [
        ('semantic', 'onnx'),
        ('hand', 'onnx'),
        ('instance', 'openvino'),
        pytest.param('instance', 'onnx', marks=pytest.mark.slow),
        pytest.param('semantic', 'openvino', marks=pytest.mark.slow),
        pytest.param('hand', 'openvino', marks=pytest.mark.slow),
    ],
)
def test_scores_are_those_of_pytorch(request, files, torch_report, task, kind):
    """Within 0.1 point, and the report says what was scored."""
    reports = {'torch': torch_report(task), 'file': evaluate(request, task, files(task, kind))}
    for name, value in reports['torch']['metrics'].items():
        point = 1e-3 if task == 'instance' else 0.1
        assert reports['file']['metrics'][name] == pytest.approx(value, abs=point), name
    runtime = {'onnx': r'ONNX fp32, onnxruntime \d', 'openvino': r'OpenVINO fp32, openvino \d'}
    form = reports['file']['protocol']['form']
    assert re.fullmatch(rf'exported, {runtime[kind]}[\d.]+', form)
    model, original = reports['file']['model'], reports['torch']['model']
    assert {name: model[name] for name in original} == original
    assert len(model['exported_sha256']) == 64
    assert len(reports['file']['reference']) == len(reports['torch']['reference'])


@pytest.mark.parametrize(
    ('task', 'kind'),
    [
        ('semantic', 'onnx'),
        ('semantic', 'openvino'),
        ('hand', 'onnx'),
        pytest.param('hand', 'openvino', marks=pytest.mark.slow),  # as in test_batches.py
    ],
)
def test_predictor_gives_the_same_result(request, files, checkpoint, task, kind):
    config = request.getfixturevalue(f'tiny_{task}')
    one = load_model(config, checkpoint(task))
    other = load_model(config, files(task, kind))
    generator = np.random.default_rng(0)
    for size in ((150, 203), (1, 1)):
        photo = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        expected, found = one(photo), other(photo)
        assert type(expected) is type(found)
        if task == 'semantic':
            assert found.labels.shape == size
            assert (expected.labels == found.labels).mean() >= 0.999
        else:
            np.testing.assert_allclose(found.vertices, expected.vertices, rtol=1e-4, atol=1e-5)
            assert found.hand_model == expected.hand_model


def test_folder_of_pictures(files, tiny_hand, hand_tree, tmp_path):
    pictures = hand_tree / 'evaluation/rgb'
    written = engine.predict(
        str(tiny_hand), str(files('hand', 'onnx')), str(pictures), str(tmp_path), fuse=True
    )
    assert len(written) == len(list(pictures.iterdir()))


def test_file_of_another_task(files, tiny_semantic, tiny_hand):
    with raises_naming(ExportError, files('hand', 'onnx'), "'hand'", "'semantic'"):
        load_model(tiny_semantic, files('hand', 'onnx'))
    with raises_naming(ExportError, files('semantic', 'onnx'), "'semantic'", "'hand'"):
        load_model(tiny_hand, files('semantic', 'onnx'))


def test_file_of_other_classes(files, tiny_semantic, root_dir):
    with raises_naming(ExportError, files('semantic', 'onnx'), 11, 150):
        load_model(root_dir / 'configs/semfpn_fastvit_t8.py', files('semantic', 'onnx'))
    cfg = load_config(tiny_semantic)
    *classes, last = load_model(tiny_semantic).classes
    classes.append('lamp')
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.metainfo.classes = classes
    with raises_naming(
        ExportError, files('semantic', 'onnx'), 'label 10', f'{last!r} in the file', "'lamp'"
    ):
        load_model(cfg, files('semantic', 'onnx'))


def test_backbone_alone_is_no_model(tiny_semantic, tmp_path):
    job = prepare(load_config(tiny_semantic), None, part='backbone')
    write(trace(job), job.description, 'onnx', tmp_path / 'backbone.onnx')
    path = tmp_path / 'backbone.onnx'
    with raises_naming(ExportError, path, 'backbone alone', '--part model'):
        load_model(tiny_semantic, path)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((0, 3, 64, 64)),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros((1, 1, 64, 64)),
        np.zeros((1, 4, 64, 64)),
        np.zeros((1, 3, 0, 0)),
        np.full((1, 3, 64, 64), 'x'),
        None,
    ],
    ids=lambda image: str(np.shape(image)),
)
def test_what_is_no_single_image(files, image):
    path = files('hand', 'onnx')
    facts = ('(batch, 3, height, width)', 'RGB', np.shape(image), np.asarray(image).dtype)
    with raises_naming(ExportError, path, *facts):
        ExportedNetwork(path)(image)


def test_network_of_someone_else(files, tmp_path):
    """The metadata of an export on a graph with other inputs."""
    model = onnx.load(files('hand', 'onnx'))
    shape = [1, 3, 'height', 'width']
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in 'xy']
    node = onnx.helper.make_node('Relu', ['x'], ['y'])
    model.graph.CopyFrom(onnx.helper.make_graph([node], 'other', values[:1], values[1:]))
    path = tmp_path / 'other.onnx'
    path.write_bytes(model.SerializeToString())
    with raises_naming(ExportError, path, "['x']", "'image'"):
        ExportedNetwork(path)


def test_files_that_run_elsewhere(tmp_path):
    with raises_naming(
        ExportError, tmp_path / 'x.mlpackage', '.onnx', '.xml', 'Core ML', 'Apple devices'
    ):
        ExportedNetwork(tmp_path / 'x.mlpackage')
    with raises_naming(ExportError, tmp_path / 'none.onnx', 'onnxruntime', 'bfloat16', 'openvino'):
        ExportedNetwork(tmp_path / 'none.onnx', bf16=True)


@pytest.mark.parametrize(
    ('task', 'kind'),
    [
        ('instance', 'openvino'),
        ('semantic', 'onnx'),
        ('hand', 'onnx'),
        pytest.param('instance', 'onnx', marks=pytest.mark.slow),
    ],
)
def test_a_file_stands_alone(request, files, task, kind):
    """As with its config; nothing in it names a place of data, and it stays on the CPU."""
    path = files(task, kind)
    model = load_model(path)
    other = load_model(request.getfixturevalue(f'tiny_{task}'), path)
    photo = np.random.default_rng(0).integers(0, 256, (150, 203, 3), dtype=np.uint8)
    assert str(model(photo).to_dict()) == str(other(photo).to_dict())
    assert 'data_root' not in model.model.network.description.prediction
    with raises_naming(ExportError, path, 'CPU'):
        model.to('cuda')
    with pytest.warns(UserWarning, match='runs on the CPU, not on cuda'):
        load_model(path, device='cuda')


def test_openvino_stands_alone(files):
    model = load_model(files('semantic', 'openvino'))
    assert model(np.zeros((50, 60, 3), np.uint8)).labels.shape == (50, 60)


def test_a_file_without_its_config(files, tmp_path):
    """One of an earlier version: it needs its config, as it did."""
    model = onnx.load(files('semantic', 'onnx'))
    kept = [entry for entry in model.metadata_props if entry.key not in ('prediction', 'resize')]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    path = tmp_path / 'old.onnx'
    path.write_bytes(model.SerializeToString())
    assert ExportedNetwork(path).description.resize == {}
    with raises_naming(ExportError, path, 'carries no config', 'name its config'):
        load_model(path)


def test_a_file_whose_config_is_hostile(files, tmp_path):
    model = onnx.load(files('semantic', 'onnx'))
    for entry in model.metadata_props:
        if entry.key == 'prediction':
            entry.value = entry.value.replace("'EncoderDecoder'", "'os.system'")
    path = tmp_path / 'evil.onnx'
    path.write_bytes(model.SerializeToString())
    with raises_naming(CheckpointError, path, 'model.type', 'os.system'):
        load_model(path)
