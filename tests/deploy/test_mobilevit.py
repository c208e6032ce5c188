"""MobileViT's blocks, both versions, in the formats of deployment, at sizes that are not even."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from fastvit_dense.backbones import reparameterize
from fastvit_dense.backbones.mobilevit_blocks import MobileViTBlock, MobileViTv2Block
from fastvit_dense.deploy.coreml import check_structure, convert
from fastvit_dense.deploy.export import export
from fastvit_dense.deploy.job import prepare
from fastvit_dense.deploy.onnx_file import trace_onnx
from fastvit_dense.tasks.config import load_config
from tests.backbones.randomise import randomise, relative_error

pytestmark = pytest.mark.integration
SIZES = ((16, 16), (9, 14), (7, 11), (1, 1))


class Graph(nn.Module):
    """One block of three channels, as a graph that is exported."""

    output_names = ('stage0',)

    def __init__(self, kind):
        super().__init__()
        self.block = kind(3, 8, 1, 'BN', 1, 0.0)

    def forward(self, image):
        return self.block(image)


@pytest.fixture(params=[MobileViTBlock, MobileViTv2Block], ids=lambda kind: kind.__name__)
def graph(request):
    torch.manual_seed(0)
    return reparameterize(randomise(Graph(request.param)).eval()).requires_grad_(False)


def readers(content):
    """What runs the ONNX file: onnxruntime, and OpenVINO where it is installed."""
    session = onnxruntime.InferenceSession(content)
    yield lambda image: session.run(None, {'image': image})[0]
    try:
        import openvino
    except ImportError:
        return
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), 'CPU')
    yield lambda image: compiled(image)[0]


def test_one_file_takes_all_sizes(graph):
    """Traced at an even size, run at odd ones: unfold and fold follow the picture."""
    model = trace_onnx(graph, torch.rand(1, 3, 16, 16))
    for run in readers(model.SerializeToString()):
        for height, width in SIZES:
            image = torch.rand(1, 3, height, width)
            found = torch.from_numpy(np.array(run(image.numpy())))
            assert found.shape == graph(image).shape
            assert relative_error(found, graph(image)) < 1e-4, (height, width)


@pytest.mark.parametrize('size', [pytest.param((16, 16), marks=pytest.mark.slow), (7, 11)])
def test_core_ml_takes_the_blocks(graph, size):
    """Operators of iOS 16, nothing left unfolded, and no tensor of more than five dimensions."""
    pytest.importorskip('coremltools', reason='extra [deploy] is not installed')
    image = torch.rand(1, 3, *size)
    traced = torch.jit.trace(graph, image, check_trace=False)
    assert relative_error(traced(image), graph(image)) < 1e-5
    program = convert(traced, [size], graph.output_names)
    lines = list(check_structure(program, [size]))
    assert [line.what for line in lines if not line.passed] == []
    (function,) = program.get_spec().mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    ranks = [o.type.tensorType.rank for op in block.operations for o in op.outputs]
    assert 4 <= max(ranks) <= 5


@pytest.mark.slow  # whole models, half a minute each
@pytest.mark.parametrize('format', ['openvino', 'coreml'])
@pytest.mark.parametrize('config', ['deeplabv3_mobilevit_xxs', 'semfpn_mobilevitv2_050'])
def test_whole_models(root_dir, monkeypatch, tmp_path, capsys, config, format):
    """The export's own check passes; ONNX: tests/test_mobilevit_configs.py."""
    pytest.importorskip({'coreml': 'coremltools'}.get(format, format))
    monkeypatch.chdir(root_dir)
    model = prepare(load_config(config, pretrained=False), None).predictor.model
    torch.save({'state_dict': randomise(model).state_dict()}, tmp_path / 'random.pth')
    out = tmp_path / {'openvino': 'model.xml', 'coreml': 'model.mlpackage'}[format]
    status = export(config, tmp_path / 'random.pth', format, out, size=(97, 131))
    assert status == 0, capsys.readouterr().out
