"""A small FreiHAND tree, drawn once for all tests of hands."""

import pytest

TRAIN, EVALUATION = 12, 4


@pytest.fixture(scope='session')
def hand_tree(tmp_path_factory):
    """Folder of a FreiHAND tree: 12 training annotations (48 images), 4 for evaluation."""
    from fastvit_dense.hand.sample import make_sample_hands

    root = tmp_path_factory.mktemp('sample')
    return make_sample_hands(root, TRAIN, EVALUATION, workers=0) / 'freihand'


@pytest.fixture
def hand_copy(hand_tree, tmp_path):
    """A copy of the tree that a test may damage."""
    import shutil

    return shutil.copytree(hand_tree, tmp_path / 'freihand')
