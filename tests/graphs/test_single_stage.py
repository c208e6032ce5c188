"""SSDLite as a graph: mmdet's own predictions, at any size and with every score."""

import pytest
import torch
from mmengine.structures import InstanceData

from fastvit_dense import load_model
from fastvit_dense.deploy.check import check_images
from fastvit_dense.deploy.export import export
from fastvit_dense.deploy.job import prepare
from fastvit_dense.errors import ExportError
from fastvit_dense.graphs.agreement import compare_instances
from fastvit_dense.graphs.common import Normalize
from fastvit_dense.graphs.inputs import predict_picture
from fastvit_dense.graphs.single_stage import SingleStageGraph
from fastvit_dense.tasks.config import load_config
from tests.backbones.randomise import randomise
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Weights of SSDLite XXS whose scores and boxes differ from place to place."""
    torch.manual_seed(0)
    model = randomise(load_model(load_config('ssdlite_mobilevit_xxs', pretrained=False)).model)
    with torch.no_grad():
        for predictor in model.bbox_head.predictors:
            list(predictor.parameters())[-2].mul_(8)
    path = tmp_path_factory.mktemp('ssdlite') / 'random.pth'
    torch.save({'state_dict': model.state_dict()}, path)
    return path


@pytest.mark.parametrize('format', ['onnx', pytest.param('openvino', marks=pytest.mark.slow)])
def test_export_agrees_with_mmdet(checkpoint, format, tmp_path, capsys):
    """The export's own check: three sizes, photos and noise, the real threshold."""
    out = tmp_path / ('ssd.onnx' if format == 'onnx' else 'ssd.xml')
    status = export('ssdlite_mobilevit_xxs', checkpoint, format, out)
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert 'matched detections' in printed


AGNOSTIC = 'model.test_cfg.nms.class_agnostic=True'


def test_one_suppression_of_all_classes(checkpoint):
    """mmdet's `class_agnostic`: the graph follows it, and has fewer objects for it."""
    counts, (_, picture) = [], next(check_images((96, 128)))
    for options in ([], [AGNOSTIC]):
        cfg = load_config('ssdlite_mobilevit_xxs', pretrained=False, cfg_options=options)
        job = prepare(cfg, checkpoint)
        kind = job.predictor.task.data_sample()
        expected = predict_picture(job.predictor.model, picture, kind)
        with torch.no_grad():
            image = torch.from_numpy(picture.transpose(2, 0, 1)[None]).float()
            outputs = dict(zip(job.graph.output_names, job.graph(image), strict=True))
        outputs['bboxes'] = outputs.pop('boxes')
        found = kind(pred_instances=InstanceData(**outputs))
        lines = list(compare_instances([('random', expected, found)]))
        assert all(line.passed for line in lines), lines
        counts.append(len(outputs['scores']))
    assert 0 < counts[1] < counts[0]


@pytest.mark.slow  # in a file: tests/graphs/test_detector.py
def test_one_suppression_of_all_classes_in_a_file(checkpoint, tmp_path, capsys):
    args = ('ssdlite_mobilevit_xxs', checkpoint, 'onnx', tmp_path / 'ssd.onnx')
    assert export(*args, cfg_options=[AGNOSTIC]) == 0, capsys.readouterr().out


def test_what_cannot_be_exported_is_named():
    model = load_model(load_config('ssdlite_mobilevit_xxs', pretrained=False), device='cpu').model
    normalize = Normalize(model.data_preprocessor)
    model.test_cfg.min_bbox_size = 0
    with raises_naming(ExportError, 'min_bbox_size', -1, 0):
        SingleStageGraph(normalize, model, 1)
    model.test_cfg.pop('min_bbox_size')
    model.test_cfg.nms.type = 'soft_nms'
    with raises_naming(ExportError, 'test_cfg.nms', 'soft_nms'):
        SingleStageGraph(normalize, model, 1)
    model.bbox_head = torch.nn.Identity()
    with raises_naming(ExportError, 'model.bbox_head', 'Identity', 'SSDLiteHead'):
        SingleStageGraph(normalize, model, 1)
