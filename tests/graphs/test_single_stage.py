"""SSDLite as a graph: mmdet's own predictions, at any size and with every score."""

import pytest
import torch

from fastvit_dense import load_model
from fastvit_dense.deploy.export import export
from fastvit_dense.errors import ExportError
from fastvit_dense.graphs.common import Normalize
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


def test_one_suppression_of_all_classes(checkpoint, tmp_path, capsys):
    option = 'model.test_cfg.nms.class_agnostic=True'
    args = ('ssdlite_mobilevit_xxs', checkpoint, 'onnx', tmp_path / 'ssd.onnx')
    assert export(*args, cfg_options=[option]) == 0, capsys.readouterr().out


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
