"""Fixtures that every test may use."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    config.addinivalue_line('filterwarnings', 'default')


@pytest.fixture(scope='session')
def shared_dir():
    """The folder of golden outputs and small real data beside the checkout; skips without it."""
    path = ROOT.parent / 'shared'
    if not path.is_dir():
        pytest.skip(f'no folder of golden and real data at ../{path.name}')
    return path


@pytest.fixture(scope='session')
def root_dir():
    """The checkout's top folder."""
    return ROOT
