"""Configs of the project, and the one line that a check says of them."""

from pathlib import Path

import pytest

from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config

CONFIGS = sorted(path.stem for path in Path(__file__).parents[2].glob('configs/*.py'))
INSTANCE, SEMANTIC = 'maskrcnn_fastvit_sa24', 'semfpn_fastvit_sa24'


def read(name, *options):
    return load_config(f'configs/{name}.py', cfg_options=options)


def one_line(check, *arguments):
    """The message of the ConfigError that a check raises."""
    with pytest.raises(ConfigError) as error:
        check(*arguments)
    assert '\n' not in str(error.value)
    return str(error.value)
