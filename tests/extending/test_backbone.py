"""A backbone of another kind behind the stated contract: timm's ResNet-18 in Mask R-CNN."""

import pytest
import torch
from torch import nn

from fastvit_dense import reparameterize
from fastvit_dense.deploy.export import export
from fastvit_dense.engine import evaluate_checkpoint, train


@pytest.fixture(scope='module')
def trained(extensions, tiny_instance, tmp_path_factory):
    text = (extensions / 'maskrcnn_resnet18.py').read_text()
    config = extensions / 'tiny_resnet18.py'
    config.write_text(text.replace("'maskrcnn_fastvit_t8.py'", f"'{tiny_instance}'"))
    work_dir = tmp_path_factory.mktemp('resnet18')
    train(config, work_dir=str(work_dir))
    return config, work_dir


def test_contract(extensions):
    from timm_backbone import TimmBackbone

    backbone = TimmBackbone('resnet18').eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        maps = backbone(images)
    assert [m.shape[1] for m in maps] == list(backbone.out_channels) == [64, 128, 256, 512]
    assert [64 // m.shape[2] for m in maps] == list(backbone.out_strides) == [4, 8, 16, 32]


def test_folds(extensions):
    from timm_backbone import TimmBackbone

    torch.manual_seed(0)
    backbone = TimmBackbone('resnet18')
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = backbone.eval()(images)
        found = reparameterize(backbone)(images)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_trains_and_is_scored_folded(trained):
    config, work_dir = trained
    checkpoint = str(work_dir / 'epoch_1.pth')
    assert evaluate_checkpoint(config, checkpoint, fuse=True, work_dir=str(work_dir)) == 0
    assert (work_dir / 'report.html').is_file()


def test_is_exported_with_its_check(trained, tmp_path, capsys):
    pytest.importorskip('onnxruntime')
    config, work_dir = trained
    out = tmp_path / 'resnet18.onnx'
    assert export(config, work_dir / 'epoch_1.pth', 'onnx', out) == 0
    assert 'compared with PyTorch as above' in capsys.readouterr().out


@pytest.mark.slow  # that backbones go alone: tests/deploy/test_export.py
def test_is_exported_alone(trained, tmp_path, capsys):
    pytest.importorskip('onnxruntime')
    config, work_dir = trained
    backbone = tmp_path / 'backbone.onnx'
    assert export(config, work_dir / 'epoch_1.pth', 'onnx', backbone, part='backbone') == 0
    assert 'stage3' in capsys.readouterr().out
