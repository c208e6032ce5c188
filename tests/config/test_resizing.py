"""What a pipeline does to sizes, as data; the shipped configs say what they score with."""

import pytest

from fastvit_dense.config.resizing import resize_rule
from fastvit_dense.tasks.config import load_config


@pytest.mark.integration
@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        (
            'maskrcnn_fastvit_t8',
            dict(rule='fit', size=[800, 1333], interpolation='bilinear', multiple=1),
        ),
        (
            'semfpn_fastvit_t8',
            dict(rule='fit', size=[512, 2048], interpolation='bilinear', multiple=32),
        ),
        ('handmesh_fastvit_t8', dict(rule='square', size=[224, 224], margin=1.0, multiple=1)),
    ],
)
def test_shipped_configs(name, expected):
    pipeline = load_config(name, pretrained=False).test_dataloader.dataset.pipeline
    assert resize_rule(pipeline) == expected


def test_other_pipelines():
    load, pack = dict(type='LoadImageFromFile'), dict(type='PackSegInputs')
    exact = dict(type='mmcv.Resize', scale=(640, 480))
    assert resize_rule([load, exact, pack]) == dict(
        rule='exact', size=[480, 640], interpolation='bilinear', multiple=1
    )
    assert resize_rule([load, pack]) == dict(rule='none', multiple=1)
    assert resize_rule(None) == dict(rule='none', multiple=1)
    for step in (dict(type='Pad', size_divisor=32), exact, dict(type='Resize', scale_factor=0.5)):
        assert resize_rule([load, exact, step, pack]) == dict(rule='other')
