"""A step in parts beside mmengine's."""

import pytest
import torch

from benchmarks.accumulation import make_steps
from fastvit_dense.tasks.config import load_config

pytestmark = pytest.mark.integration


def test_steps_of_ever_fewer_pictures():
    steps = make_steps(load_config('semfpn_fastvit_t8', pretrained=False), 2, 64)
    assert list(steps) == ['whole, mmengine', 'whole, ours', '1 pictures at once']
    for step in steps.values():
        losses = step()
        assert torch.isfinite(losses['loss'])
