"""What a report says of the model."""

import hashlib
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from fastvit_dense.evaluation.report.model import model_info


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.decode_head = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)

    def forward(self, images):
        return self.decode_head(images)


def test_model_info(tmp_path):
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/a.py').write_text('model = dict()', encoding='utf-8')
    (tmp_path / 'best.pth').write_bytes(b'weights')
    cfg = Config.fromfile(tmp_path / 'configs/a.py')
    model = Head()
    info = model_info(model, cfg, tmp_path / 'best.pth', (512, 512))
    assert info == {
        'config': 'configs/a.py',
        'checkpoint_sha256': hashlib.sha256(b'weights').hexdigest(),
        'parameters': 8 * 3 * 9,
        'macs': 8 * 3 * 9 * 256 * 256,
        'macs_of': 'whole model, 512x512',
    }
    assert next(model.parameters()).device.type == 'cpu', 'the model itself is left alone'
    assert model_info(model, cfg, None, (512, 512)) is None


@pytest.mark.parametrize(
    ('path', 'shown'),
    [('/home/me/configs/x/configs/a.py', 'configs/a.py'), ('/home/me/a.py', 'a.py'), (None, None)],
)
def test_a_configs_path_names_no_user(tmp_path, path, shown):
    (tmp_path / 'best.pth').touch()
    info = model_info(Head(), SimpleNamespace(filename=path), tmp_path / 'best.pth', (512, 512))
    assert info['config'] == shown


def test_macs_that_cannot_be_counted_are_null(tmp_path):
    class Odd(Head):
        def forward(self, images):
            return images.sum().item()

    (tmp_path / 'best.pth').write_bytes(b'')
    assert model_info(Odd(), Config(), tmp_path / 'best.pth', (512, 512))['macs'] is None
