"""8-bit files: what is quantised, what it is calibrated with, what it costs."""

import json

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fastvit_dense import MobileViT, engine, load_model, reparameterize
from fastvit_dense.deploy.export import export
from fastvit_dense.deploy.network import export_network
from fastvit_dense.deploy.quantize import calibration_inputs
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from fastvit_dense.tasks.config import load_config
from tests.backbones.randomise import randomise
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def file(tiny_semantic, trained_semantic, tmp_path_factory):
    path = tmp_path_factory.mktemp('int8') / 'int8.onnx'
    status = export(tiny_semantic, trained_semantic, 'onnx', path, int8=True, calibration_images=4)
    assert status == 0
    return path


def test_every_convolution_is_quantised(file):
    model = onnx.load(file)
    onnx.checker.check_model(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    convs = [node for node in model.graph.node if node.op_type == 'Conv']
    assert len(convs) > 40
    for conv in convs:
        assert {makers[name].op_type for name in conv.input[:2]} == {'DequantizeLinear'}
    assert file.stat().st_size < 0.5 * 4 * 3.5e6  # T8 and its head have 3.5 M parameters


@pytest.mark.parametrize('kind', ['onnx', pytest.param('openvino', marks=pytest.mark.slow)])
def test_loss_is_in_the_report(file, kind, tiny_semantic, trained_semantic, tmp_path):
    if kind == 'openvino':
        pytest.importorskip('openvino')
        file = tmp_path / 'int8.xml'
        options = dict(int8=True, calibration_images=4)
        assert export(tiny_semantic, trained_semantic, 'openvino', file, **options) == 0
    config = str(tiny_semantic)
    engine.evaluate_checkpoint(config, str(trained_semantic), work_dir=str(tmp_path / 'torch'))
    baseline = tmp_path / 'torch/report.json'
    engine.evaluate_checkpoint(
        config, str(file), work_dir=str(tmp_path / 'int8'), baseline=str(baseline)
    )
    report = json.loads((tmp_path / 'int8/report.json').read_text())
    before = json.loads(baseline.read_text())['metrics']
    assert 'int8' in report['protocol']['form']
    assert report['protocol']['baseline'] == 'as trained'
    change = report['protocol']['change from baseline']
    assert change.keys() == before.keys()
    for name, difference in change.items():
        assert difference == pytest.approx(report['metrics'][name] - before[name])
    assert abs(change['aAcc']) < 20


def test_calibration_uses_training_images(tiny_semantic):
    predictor = load_model(tiny_semantic)
    images = list(calibration_inputs(predictor, 3))
    assert len(images) == 3
    assert all(image.shape[:2] == (1, 3) and image.dtype == np.float32 for image in images)
    assert not np.array_equal(images[0], images[1])
    assert len(list(calibration_inputs(predictor, 100))) == 6
    with raises_naming(ExportError, '--calibration-images', 0, 'at least 1'):
        next(calibration_inputs(predictor, 0))


@pytest.mark.parametrize('content', [b'', b'no picture'], ids=['empty', 'text'])
def test_training_image_that_cannot_be_read(tiny_semantic, tmp_path, content):
    for folder in ('images/training', 'annotations/training'):
        (tmp_path / folder).mkdir(parents=True)
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'annotations/training/{name}.png'), np.ones((8, 8), np.uint8))
    cv2.imwrite(str(tmp_path / 'images/training/b.jpg'), np.ones((8, 8, 3), np.uint8))
    (tmp_path / 'images/training/a.jpg').write_bytes(content)
    options = [
        f'train_dataloader.dataset.data_root={tmp_path}',
        'train_dataloader.dataset.indices=1',
    ]
    predictor = load_model(load_config(tiny_semantic, cfg_options=options))
    with raises_naming(ExportError, tmp_path / 'images/training/a.jpg', 'cannot be read'):
        list(calibration_inputs(predictor, 1))


@pytest.mark.parametrize('task', [pytest.param('instance', marks=pytest.mark.slow), 'hand'])
def test_other_tasks(request, task, tmp_path):
    config = request.getfixturevalue(f'tiny_{task}')
    checkpoint = request.getfixturevalue({'instance': 'trained', 'hand': 'random_hand'}[task])
    path = tmp_path / 'int8.onnx'
    assert export(config, checkpoint, 'onnx', path, int8=True, calibration_images=2) == 0
    photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    one, other = load_model(config, checkpoint)(photo), load_model(config, path)(photo)
    assert type(one) is type(other)
    if task == 'hand':
        distance = np.linalg.norm(one.hand_pose - other.hand_pose, axis=(1, 2))
        assert distance.max() < 0.5


class Attention(nn.Module):
    """A convolution, and attention of its pixels to each other."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 16, 3, stride=2), nn.Linear(16, 16)

    def forward(self, images):
        tokens = self.linear(self.conv(images).flatten(2).transpose(1, 2))
        weights = (4 * tokens @ tokens.transpose(1, 2)).softmax(-1)
        return [weights @ tokens]


def error_of_int8(network, images, path):
    """Of every output: deviation over its root mean square."""
    with torch.no_grad():
        expected = [output.numpy() for output in network(images)]
    export_network(network, images, 'onnx', path, 'int8', [images.numpy()])
    found = ExportedNetwork(path, threads=1)(images.numpy()).values()
    pairs = zip(found, expected, strict=True)
    return [np.sqrt(((a - b) ** 2).mean() / (b**2).mean()) for a, b in pairs]


def test_attention_stays_and_weights_have_seven_bits(tmp_path):
    torch.manual_seed(0)
    errors = error_of_int8(Attention().eval(), torch.rand(1, 3, 33, 33), tmp_path / 'a.onnx')
    assert errors[0] < 0.05
    model = onnx.load(tmp_path / 'a.onnx')
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    products = [node for node in model.graph.node if node.op_type == 'MatMul']
    quantised = [
        {makers.get(name) for name in node.input} == {'DequantizeLinear'} for node in products
    ]
    assert sorted(quantised) == [False, False, True]  # scores, their sum; the linear layer
    weights = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer]
    eight = [w for w in weights if w.dtype == np.int8 and w.ndim > 1]
    assert len(eight) == 2
    assert all(w.min() >= -64 and w.max() <= 64 for w in eight)


@pytest.mark.slow
@pytest.mark.parametrize('arch', ['xxs', '0.5'])
def test_mobilevit_survives(arch, tmp_path):
    """In onnxruntime, on processors with VNNI and without."""
    torch.manual_seed(0)
    network = reparameterize(randomise(MobileViT(arch).eval()))
    errors = error_of_int8(network, torch.rand(1, 3, 128, 128), tmp_path / 'a.onnx')
    assert max(errors) < 0.2
