"""Sizes of pictures by what the test pipelines do with them."""

import pytest
from mmengine.config import Config

from benchmarks.pictures import picture_size


@pytest.mark.parametrize(
    ('step', 'size'),
    [
        (dict(type='Resize', scale=(1333, 800), keep_ratio=True), (1333, 800)),
        (dict(type='Resize', scale=(512, 2048), keep_ratio=True), (683, 512)),
        (dict(type='Resize', scale=(512, 512)), (512, 512)),
        (dict(type='HandCrop', size=224), (224, 224)),
        (dict(type='Resize', scale_factor=0.5), (640, 480)),
    ],
)
def test_largest_photograph_that_is_not_shrunk(step, size):
    pipeline = [dict(type='LoadImageFromFile'), step, dict(type='Resize', scale=(9, 9))]
    pipeline = pipeline[:2] if 'scale_factor' in step else pipeline
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='Any', pipeline=pipeline))))
    assert picture_size(cfg) == size


@pytest.mark.parametrize(
    ('name', 'size'),
    [('maskrcnn', (1333, 800)), ('semfpn', (683, 512)), ('handmesh', (224, 224))],
)
def test_configs_of_the_command_line(root_dir, name, size):
    assert picture_size(Config.fromfile(root_dir / f'configs/{name}_fastvit_sa24.py')) == size
