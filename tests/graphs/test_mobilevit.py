"""MobileViT as an exported graph."""

import io

import onnx
import onnxruntime
import openvino
import pytest
import torch
from mmengine.model import ImgDataPreprocessor

from fastvit_dense.backbones import MobileViT, reparameterize
from fastvit_dense.deploy.onnx_file import trace_onnx
from fastvit_dense.graphs.common import BackboneGraph, Normalize
from tests.backbones.randomise import randomise, relative_error


@pytest.mark.parametrize('arch', ['xxs', '0.5'])
def test_exported_odd_sizes(arch):
    """ONNX Runtime and OpenVINO resize where the network does, and compute the same."""
    model = reparameterize(randomise(MobileViT(arch, out_norm='BN')).eval())
    preprocessor = ImgDataPreprocessor([0, 0, 0], [255, 255, 255], bgr_to_rgb=True)
    graph = BackboneGraph(Normalize(preprocessor), model).eval()
    image = torch.rand(1, 3, 75, 109, generator=torch.Generator().manual_seed(0)) * 255
    file = trace_onnx(graph, image)
    assert max_rank(file) <= 5  # what Core ML takes
    session = onnxruntime.InferenceSession(
        file.SerializeToString(), providers=['CPUExecutionProvider']
    )
    (given,) = session.get_inputs()
    outputs = session.run(None, {given.name: image.numpy()})
    core = openvino.Core()
    network = core.read_model(io.BytesIO(file.SerializeToString()))
    compiled = core.compile_model(network, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    by_openvino = compiled([image.numpy()])
    with torch.no_grad():
        expected = graph(image)
    for i, target in enumerate(expected):
        assert relative_error(torch.from_numpy(by_openvino[i]), target) < 1e-4
    for output, target in zip(outputs, expected, strict=True):
        assert relative_error(torch.from_numpy(output), target) < 1e-4


def max_rank(file):
    """Return the most dimensions of any tensor of a graph."""
    inferred = onnx.shape_inference.infer_shapes(file).graph
    ranks = [len(value.type.tensor_type.shape.dim) for value in inferred.value_info]
    assert len(ranks) > 100
    return max(ranks)
