"""Files in place of checkpoints: the same results and scores, and bad files refused."""

import functools
import json
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from fastvit_dense import engine, load_model
from fastvit_dense.deploy.export import export, trace, write
from fastvit_dense.deploy.job import prepare
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from fastvit_dense.tasks.config import load_config

pytestmark = pytest.mark.integration
FORMATS = {'onnx': '.onnx', 'openvino': '.xml'}


@pytest.fixture(scope='session')
def files(tmp_path_factory, tiny_semantic, trained_semantic, tiny_hand, random_hand, request):
    """`files(task, format)`: the exported file, made on first use; its check passed."""
    made = {}

    def get(task, kind):
        if (task, kind) not in made:
            if kind == 'openvino':
                pytest.importorskip('openvino')
            config = request.getfixturevalue(f'tiny_{task}')
            path = tmp_path_factory.mktemp(task) / f'model{FORMATS[kind]}'
            assert export(config, checkpoint(request, task), kind, path) == 0
            made[task, kind] = path
        return made[task, kind]

    return get


@pytest.fixture(scope='session')
def torch_report(request):
    """`torch_report(task)`: the report of the checkpoint, made once."""
    return functools.cache(lambda task: evaluate(request, task, checkpoint(request, task)))


def evaluate(request, task, model):
    config = request.getfixturevalue(f'tiny_{task}')
    with tempfile.TemporaryDirectory() as folder:
        engine.evaluate_checkpoint(str(config), str(model), work_dir=folder)
        return json.loads(Path(folder, 'report.json').read_text())


def checkpoint(request, task):
    names = {'instance': 'trained', 'semantic': 'trained_semantic', 'hand': 'random_hand'}
    return request.getfixturevalue(names[task])


@pytest.mark.parametrize(
    ('task', 'kind'),
    [
        ('instance', 'onnx'),
        ('semantic', 'onnx'),
        ('hand', 'onnx'),
        ('instance', 'openvino'),
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


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('task', ['semantic', 'hand'])
def test_predictor_gives_the_same_result(request, files, task, kind):
    config = request.getfixturevalue(f'tiny_{task}')
    one = load_model(config, checkpoint(request, task))
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
    with pytest.raises(ExportError, match=r"made for the task 'hand'.*the config is of 'semantic'"):
        load_model(tiny_semantic, files('hand', 'onnx'))
    with pytest.raises(ExportError, match=r"made for the task 'semantic'"):
        load_model(tiny_hand, files('semantic', 'onnx'))


def test_file_of_other_classes(files, tiny_semantic, root_dir):
    with pytest.raises(ExportError, match=r'classes are not the 150 of the config'):
        load_model(root_dir / 'configs/semfpn_fastvit_t8.py', files('semantic', 'onnx'))
    cfg = load_config(tiny_semantic)
    classes = [*load_model(tiny_semantic).classes[:-1], 'lamp']
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.metainfo.classes = classes
    with pytest.raises(
        ExportError, match=r"\(label 10 is '\w+' in the file, 'lamp' in the config\)"
    ):
        load_model(cfg, files('semantic', 'onnx'))


def test_backbone_alone_is_no_model(tiny_semantic, tmp_path):
    job = prepare(load_config(tiny_semantic), None, part='backbone')
    write(trace(job), job.description, 'onnx', tmp_path / 'backbone.onnx')
    with pytest.raises(ExportError, match=r'holds a backbone alone; export with --part model'):
        load_model(tiny_semantic, tmp_path / 'backbone.onnx')


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((2, 3, 64, 64)),
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
    with pytest.raises(ExportError, match=r'expected one image, \(1, 3, height, width\), RGB'):
        ExportedNetwork(files('hand', 'onnx'))(image)


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


def other_graph(model, path):
    """The metadata of an export on a network of someone else."""
    shape = [1, 3, 'height', 'width']
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in 'xy']
    node = onnx.helper.make_node('Relu', ['x'], ['y'])
    graph = onnx.helper.make_graph([node], 'other', values[:1], values[1:])
    model.graph.CopyFrom(graph)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (truncated, 'truncated, damaged or no ONNX file'),
        (empty, 'truncated, damaged or no ONNX file'),
        (text, 'truncated, damaged or no ONNX file'),
        (of_others, 'no export of fastvit_dense: metadata task'),
        (other_graph, r"no export of fastvit_dense: its inputs are \['x'\], not 'image'"),
        (outside_weights, r"to be read from another file, '\.\./secret\.bin'"),
        (foreign_operator, r'needs the operator com\.example\.Evil'),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_bad_onnx_files(files, tmp_path, damage, message):
    (tmp_path / 'folder').mkdir()
    path = tmp_path / 'folder/bad.onnx'
    damage(onnx.load(files('hand', 'onnx')), path)
    with pytest.raises(ExportError, match=rf'bad\.onnx: .*{message}'):
        ExportedNetwork(path)


def test_bad_openvino_files(files, tmp_path):
    pytest.importorskip('openvino')
    source = files('hand', 'openvino')
    with pytest.raises(ExportError, match=r'none\.xml: no such file'):
        ExportedNetwork(tmp_path / 'none.xml')
    path = tmp_path / 'bad.xml'
    path.write_bytes(source.read_bytes())
    with pytest.raises(ExportError, match=r'bad\.xml: bad\.bin with its weights is not beside it'):
        ExportedNetwork(path)
    weights = source.with_suffix('.bin').read_bytes()
    path.with_suffix('.bin').write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ExportError, match=r'bad\.xml: truncated, damaged or no OpenVINO model'):
        ExportedNetwork(path)
    path.with_suffix('.bin').write_bytes(weights)
    path.write_text(source.read_text()[:5000])
    with pytest.raises(ExportError, match=r'bad\.xml: truncated, damaged or no OpenVINO model'):
        ExportedNetwork(path)
    path.write_text(source.read_text().replace('fastvit_dense_export', 'other'))
    with pytest.raises(ExportError, match=r'bad\.xml: no export of fastvit_dense'):
        ExportedNetwork(path)


def test_files_that_run_elsewhere(tmp_path):
    with pytest.raises(ExportError, match='Core ML programs run on Apple devices'):
        ExportedNetwork(tmp_path / 'x.mlpackage')
    with pytest.raises(ExportError, match=r'none\.onnx: no such file'):
        ExportedNetwork(tmp_path / 'none.onnx')
    with pytest.raises(ExportError, match='onnxruntime has no bfloat16'):
        ExportedNetwork(tmp_path / 'none.onnx', bf16=True)
