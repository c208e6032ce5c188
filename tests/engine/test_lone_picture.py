"""A step of one picture: the error of PyTorch's own BatchNorm, in one line."""

import pytest

from fastvit_dense.engine.lone_picture import explained_lone_picture
from fastvit_dense.errors import ConfigError
from tests.facts import raises_naming

from .small import Numbers, small_config, small_runner


def loaders(batch_size):
    sampler = dict(type='SeededSampler', shuffle=True)
    return dict(batch_size=batch_size, num_workers=0, dataset=Numbers(), sampler=sampler)


@pytest.mark.parametrize('batch_size', [1, 5])
def test_one_picture(tmp_path, batch_size):
    """In every step, or in the last one of the epoch: six samples are there."""
    runner = small_runner(small_config(tmp_path), train_dataloader=loaders(batch_size))
    facts = ('train_dataloader.batch_size', 'model.body.1', 2, 'drop_last=True', 'GN')
    with raises_naming(ConfigError, *facts) as error, explained_lone_picture(runner):
        runner.train()
    assert '\n' not in str(error.value)


def test_other_errors_stay(tmp_path):
    runner = small_runner(small_config(tmp_path))
    with pytest.raises(ValueError, match='other'), explained_lone_picture(runner):
        raise ValueError('other')
