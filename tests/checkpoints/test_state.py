"""The weights in a checkpoint."""

import torch

from fastvit_dense.checkpoints.state import find_state_dict
from fastvit_dense.errors import CheckpointError
from tests.facts import raises_naming


def test_weights_are_found_or_told_missing():
    state = dict(a=torch.ones(1))
    assert find_state_dict(state, 'x')[0] == ''
    assert find_state_dict(dict(model=state, epoch=1), 'x')[0] == 'model'
    with raises_naming(CheckpointError, 'x', 'no weights', 'state_dict', 'found', 'epoch'):
        find_state_dict(dict(epoch=1), 'x')
