"""Datasets of a config, whatever wraps them, and their classes."""

import pytest
from mmengine.config import Config

from fastvit_dense.config.loaders import dataset_classes, datasets_of
from fastvit_dense.errors import ConfigError
from tests.facts import raises_naming


def test_wrapped_datasets_are_found():
    inner = [dict(type='CocoDataset', data_root=str(i)) for i in range(3)]
    loader = dict(
        dataset=dict(
            type='RepeatDataset',
            dataset=dict(
                type='ConcatDataset',
                datasets=[dict(type='ClassBalancedDataset', dataset=inner[0]), *inner[1:]],
            ),
        )
    )
    cfg = Config(dict(train_dataloader=loader))
    assert [d.data_root for d in datasets_of(cfg)] == ['0', '1', '2']


def test_classes_are_those_of_the_dict_or_of_its_type():
    named = dict(type='CocoDataset', metainfo=dict(classes=['cup']))
    assert dataset_classes(named, 'mmdet') == ('cup',)
    assert dataset_classes(dict(type='CocoDataset'), 'mmdet')[:2] == ('person', 'bicycle')
    assert dataset_classes(dict(type='NoSuchDataset'), 'mmdet') is None


@pytest.mark.parametrize(
    ('loader', 'place'),
    [
        ('x', 'test_dataloader'),
        (dict(dataset='x'), 'test_dataloader.dataset'),
        (
            dict(dataset=dict(dataset=dict(metainfo='x'))),
            'test_dataloader.dataset.dataset.metainfo',
        ),
    ],
)
def test_words_in_the_place_of_dicts(loader, place):
    cfg = Config(dict(test_dataloader=loader))
    with raises_naming(ConfigError, place, 'a dict', "'x'"):
        list(datasets_of(cfg))
