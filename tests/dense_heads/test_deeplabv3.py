"""DeepLabv3's head: mmseg's with a joining convolution of 1x1."""

import pytest
import torch
from mmengine.registry import MODELS
from torch.nn import functional as F

pytestmark = pytest.mark.integration


def test_it_is_mmsegs_with_another_joining_convolution():
    """The same numbers where mmseg's 3x3 kernel has its weights in the middle alone."""
    settings = dict(in_channels=8, channels=4, dilations=(1, 6, 12, 18), num_classes=3)
    settings['norm_cfg'] = dict(type='BN')
    torch.manual_seed(0)
    ours = MODELS.build(dict(type='DeepLabV3Head', **settings)).eval()
    theirs = MODELS.build(dict(type='mmseg.ASPPHead', **settings)).eval()
    state = ours.state_dict()
    state['bottleneck.conv.weight'] = F.pad(state['bottleneck.conv.weight'], (1, 1, 1, 1))
    theirs.load_state_dict(state)
    maps = [torch.rand(2, 8, 9, 13)]
    with torch.no_grad():
        torch.testing.assert_close(ours(maps), theirs(maps))
