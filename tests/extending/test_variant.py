"""A variant is one row of data: it builds, folds, is checked and exported."""

import pytest
import torch

from fastvit_dense import FastViT, reparameterize
from fastvit_dense.config.channels import check_channels
from fastvit_dense.deploy.export import export
from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config
from tests import tiny
from tests.backbones.randomise import randomise, relative_error


def test_builds_and_folds(extensions):
    import small_variant  # noqa: F401

    backbone = FastViT('t6')
    randomise(backbone)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = backbone.eval()(images)
        assert [m.shape[1] for m in expected] == [32, 64, 128, 256] == list(backbone.out_channels)
        for one, other in zip(expected, reparameterize(backbone)(images), strict=True):
            assert relative_error(other, one) < 1e-4


def test_channels_are_checked(variant, tiny_semantic):
    cfg = load_config(variant('semfpn_t6.py', tiny_semantic), pretrained=False)
    check_channels(cfg)
    cfg.model.neck.in_channels = [48, 96, 192, 384]
    with pytest.raises(ConfigError) as error:
        check_channels(cfg)
    assert '[32, 64, 128, 256]' in str(error.value)


def test_is_exported(variant, tiny_semantic, tmp_path):
    pytest.importorskip('onnxruntime')
    config = variant('semfpn_t6.py', tiny_semantic)
    checkpoint = tiny.save_random(config, tmp_path / 't6.pth')
    assert export(config, checkpoint, 'onnx', tmp_path / 't6.onnx') == 0
