"""Pictures that are made and changed on the device."""

from itertools import islice

import numpy as np
import pytest
import torch

from benchmarks.gpu.camvid import IGNORED, Split, augment, batches
from benchmarks.gpu.hands import SIZE, _draw
from fastvit_dense.datasets.sample.hands import sample_hands
from fastvit_dense.hand.render import rasterize
from fastvit_dense.hand.standin import standin_mano


def test_labels_move_with_the_picture():
    """A picture that is its own label map, in two values, and nothing outside of it."""
    torch.manual_seed(0)
    labels = torch.zeros(8, 48, 64, dtype=torch.uint8)
    labels[:, 10:30, 20:40] = 1
    labels[:, :3] = IGNORED
    bright = torch.tensor([100, 200] + [0] * 253 + [50], dtype=torch.uint8)[labels.long()]
    split = Split(bright[:, None].expand(-1, 3, -1, -1).contiguous(), labels)
    images, found = augment(split, torch.arange(8))
    assert images.shape == (8, 3, 48, 64)
    assert set(found.unique().tolist()) == {0, 1, IGNORED}
    for image, map_ in zip(images.mean(1), found, strict=True):
        # 100 and 200 under one light each; what lies on an edge is between them
        dark, light = (image[map_ == label].median().item() for label in (0, 1))
        assert light == pytest.approx(2 * dark, rel=0.02) or light > 250
    assert (images[(found == IGNORED)[:, None].expand(-1, 3, -1, -1)] < 260).all()


def test_every_picture_has_its_turn():
    found = list(islice(batches(10, 4, 'cpu'), 6))
    assert [len(numbers) for numbers in found] == [4] * 6
    for epoch in (found[:2], found[2:4], found[4:]):
        assert len(set(torch.cat(epoch).tolist())) == 8


@pytest.mark.integration
def test_hands_are_drawn_where_they_are():
    """Against the rasteriser of the sample data, pixel by pixel."""
    hands = sample_hands(2, np.random.default_rng(0))
    torch.manual_seed(0)
    images = _draw(hands, slice(0, 2), torch.zeros(1, 3, 512, 512), 'cpu')
    assert images.shape == (2, 3, SIZE, SIZE)
    assert images.dtype == torch.uint8
    faces = standin_mano().f.astype(np.int64)
    for image, verts, K in zip(images, hands.verts, hands.K, strict=True):
        expected = rasterize(verts, faces, K, (SIZE, SIZE)).face >= 0
        found = image.float().mean(0).numpy() > 12  # noise of 1 % over black
        assert 0.02 < expected.mean() < 0.6
        assert (found == expected).mean() > 0.99
