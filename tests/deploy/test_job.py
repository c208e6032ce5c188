"""Jobs, ready to be written: folded graphs with RGB in front, and files that appear whole."""

import onnx
import pytest
import torch

from fastvit_dense import load_model
from fastvit_dense.deploy.export import trace
from fastvit_dense.deploy.job import prepare, writing
from fastvit_dense.errors import ExportError
from fastvit_dense.graphs.agreement import relative_error
from fastvit_dense.tasks.config import load_config
from tests.backbones.randomise import randomise
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


def test_graph_is_folded(root_dir):
    """No norm is left: the FPN has the output norms; the stem has the deviation."""
    cfg = load_config(root_dir / 'configs/semfpn_fastvit_t8.py', pretrained=False)
    model = trace(prepare(cfg, None, size=(64, 64)))
    onnx.checker.check_model(model)
    names = [node.op_type for node in model.graph.node]
    assert 'BatchNormalization' not in names
    assert names.count('Sub') == 1


def test_channel_order_of_models_trained_on_bgr(tiny_semantic, tmp_path):
    """A model that takes BGR gets it: the file's input is RGB all the same."""
    options = {'model.data_preprocessor.bgr_to_rgb': False}
    options['model.data_preprocessor.mean'] = [103.53, 116.28, 123.675]
    cfg = load_config(tiny_semantic, cfg_options=options)
    path = tmp_path / 'bgr.pth'
    torch.manual_seed(0)
    torch.save({'state_dict': randomise(load_model(cfg).model).state_dict()}, path)
    job = prepare(cfg, path)
    assert job.description.mean == pytest.approx([123.675, 116.28, 103.53])
    image = torch.randint(0, 256, (1, 3, 64, 96)).float()
    bgr = image.flip(1)
    mean, std = torch.tensor([103.53, 116.28, 123.675]), torch.tensor([58.395, 57.12, 57.375])
    with torch.no_grad():
        inputs = (bgr - mean[:, None, None]) / std[:, None, None]
        expected = job.predictor.model.encode_decode(inputs, [dict(img_shape=(64, 96))])
        found = job.graph(image)
    assert relative_error(expected.numpy(), found.numpy()) < 1e-4


def test_an_error_while_writing_leaves_what_stood_there(tmp_path):
    (tmp_path / 'file').write_text('')
    path = tmp_path / 'file/x.onnx'
    with raises_naming(ExportError, path, 'cannot be written'), writing(path):
        pass
    path = tmp_path / 'x.onnx'
    path.write_text('earlier')
    with raises_naming(ExportError, path, 'PermissionError'), writing(path) as made:
        made.write_text('half')
        raise PermissionError
    assert path.read_text() == 'earlier'
    assert {file.name for file in tmp_path.iterdir()} == {'file', 'x.onnx'}
