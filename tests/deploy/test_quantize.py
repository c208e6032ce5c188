"""8-bit files: what is quantised, what it is calibrated with, what it costs."""

import json
import re

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
from tests.tiny import save_random

pytestmark = pytest.mark.integration


@pytest.fixture
def file(files):
    return files('semantic', 'onnx', 'int8')


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
def test_loss_is_in_the_report(file, kind, tiny_semantic, trained_semantic, tmp_path, capsys):
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
    assert_told(tmp_path / 'int8', capsys.readouterr().out, ('mIoU', 'mAcc', 'aAcc', 'mDice'))


def assert_told(folder, printed, names):
    """Console, report.json and both pages tell by how much each changed, and how sure that is."""
    in_words = json.loads((folder / 'report.json').read_text())['protocol']['change with interval']
    (line,) = [line for line in printed.splitlines() if line.startswith('Change from the baseline')]
    page, text = (folder / 'report.html').read_text(), (folder / 'report.md').read_text()
    for name in names:
        words = in_words[name]
        assert re.fullmatch(r'[+−][\d.]+ \[−?[\d.]+, −?[\d.]+\] (not )?shown', words), words
        assert f'{name} {words}' in line
        assert page.count(f'</span> {words}</div>') >= 1
        assert f'{words} |' in text
    assert 'change from baseline' not in page, 'no number twice'


@pytest.mark.slow
def test_detections_of_an_int8_file_beside_those_of_fp32(tiny_instance, tmp_path, capsys):
    """A model that has learnt its few pictures: AP, calibration and best thresholds."""
    options = ['train_cfg.max_epochs=40', 'default_hooks.checkpoint.interval=40']
    options += [
        'param_scheduler=[]',
        'train_cfg.val_interval=40',
        'model.backbone.drop_path_rate=0.0',
    ]
    engine.train(tiny_instance, work_dir=str(tmp_path / 'run'), cfg_options=options)
    checkpoint, file = tmp_path / 'run/epoch_40.pth', tmp_path / 'int8.onnx'
    assert export(tiny_instance, checkpoint, 'onnx', file, int8=True, calibration_images=6) == 0
    annotations = tiny_instance.with_name('train.json')
    seen = [
        f'test_dataloader.dataset.ann_file={annotations}',
        f'test_evaluator.ann_file={annotations}',
        'test_dataloader.dataset.data_prefix.img=train2017/',
    ]
    engine.evaluate_checkpoint(
        tiny_instance, str(checkpoint), work_dir=str(tmp_path / 'fp32'), cfg_options=seen
    )
    capsys.readouterr()
    engine.evaluate_checkpoint(
        tiny_instance,
        str(file),
        work_dir=str(tmp_path / 'int8'),
        cfg_options=seen,
        baseline=str(tmp_path / 'fp32/report.json'),
    )
    names = ('bbox_mAP', 'segm_mAP', 'bbox_mAP_50', 'segm_mAP_50')
    assert_told(tmp_path / 'int8', capsys.readouterr().out, names)
    before, now = (
        json.loads((tmp_path / name / 'report.json').read_text()) for name in ('fp32', 'int8')
    )
    assert before['metrics']['bbox_mAP_50'] > 0.1, 'nothing learnt'
    page = (tmp_path / 'int8/report.html').read_text()
    for kind, word in (('bbox', 'box'), ('segm', 'mask')):
        own, fp32 = (r['diagnosis']['calibration'][kind] for r in (now, before))
        for name in ('expected_error', 'bins', 'thresholds'):
            assert own['baseline'][name] == fp32[name]
        assert any(row['threshold'] for row in own['thresholds'])
        errors = f'{own["expected_error"]:.4f} (baseline {fp32["expected_error"]:.4f})'
        assert f'{word} {errors}' in page
        assert f'{word}, baseline threshold' in page


@pytest.mark.slow
def test_hands_of_an_int8_file_beside_those_of_fp32(tiny_hand, random_hand, tmp_path, capsys):
    file = tmp_path / 'int8.onnx'
    assert export(tiny_hand, random_hand, 'onnx', file, int8=True, calibration_images=4) == 0
    engine.evaluate_checkpoint(tiny_hand, str(random_hand), work_dir=str(tmp_path / 'fp32'))
    capsys.readouterr()
    baseline = str(tmp_path / 'fp32/report.json')
    engine.evaluate_checkpoint(
        tiny_hand, str(file), work_dir=str(tmp_path / 'int8'), baseline=baseline
    )
    names = ('PA-MPJPE', 'PA-MPVPE', 'f_al_score_5', 'f_al_score_15')
    assert_told(tmp_path / 'int8', capsys.readouterr().out, names)


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
def test_other_tasks(request, task, shallow, tmp_path):
    config = request.getfixturevalue(f'tiny_{task}')
    options = [f'model.backbone.arch={shallow}']
    cfg = load_config(config, cfg_options=options)
    checkpoint, path = save_random(cfg, tmp_path / 'random.pth'), tmp_path / 'int8.onnx'
    settings = dict(int8=True, calibration_images=2, cfg_options=options)
    assert export(config, checkpoint, 'onnx', path, **settings) == 0
    photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    one, other = load_model(cfg, checkpoint)(photo), load_model(cfg, path)(photo)
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
