from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.base import find_task
from tests.facts import raises_naming


def test_unknown_task():
    with raises_naming(ConfigError, 'task', 'instance', 'semantic', 'hand', 'found', 'depth'):
        find_task('depth')
