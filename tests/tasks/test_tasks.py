"""The task of a config is told by its dataset."""

from mmengine.config import Config

from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks import task_of
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming


def test_tasks_are_told_by_the_dataset():
    assert task_of(load_config('maskrcnn_fastvit_t8')).name == 'instance'
    assert task_of(load_config('semfpn_fastvit_t8')).name == 'semantic'
    assert task_of(load_config('handmesh_fastvit_t8')).name == 'hand'
    with raises_naming(ConfigError, 'no dataset'):
        task_of(Config(dict(model=dict())))
