"""Settings and fixtures of all tests."""

import os
from pathlib import Path

import pytest

# The tests are many small operators on two processes; more threads would wait for each other.
os.environ['OMP_NUM_THREADS'] = '1'
ROOT = Path(__file__).resolve().parent.parent


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
