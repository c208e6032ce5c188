"""A FreiHAND tree that a test may damage."""

import shutil

import pytest


@pytest.fixture
def hand_copy(hand_tree, tmp_path):
    """A copy of `hand_tree`."""
    return shutil.copytree(hand_tree, tmp_path / 'freihand')
