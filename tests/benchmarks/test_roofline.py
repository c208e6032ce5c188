"""The bound of a network's time, against sums by hand."""

import pytest
import torch
from torch import nn

from benchmarks.roofline import count_operators, roofline_seconds, time_operators


def test_operators_of_a_small_network():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5))
    images = torch.zeros(2, 3, 4, 4)
    convolution, linear = count_operators(model, images)
    assert convolution == (2 * 8 * 16 * 27, 2 * 3 * 16 + 8 * 27 + 8 + 2 * 8 * 16)
    assert linear == (2 * 128 * 5, 5 + 2 * 128 + 128 * 5 + 2 * 5)


def test_the_longer_of_arithmetic_and_traffic_counts():
    operators = [(100.0, 10), (1.0, 1000)]
    assert roofline_seconds(operators, 10.0, 100.0, 2) == pytest.approx(100 / 10 + 2000 / 100)


def test_times_of_operators():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
    rows = time_operators(model, torch.zeros(1, 3, 16, 16))
    calls = {(row['operator'], row['shapes']): row['calls'] for row in rows}
    assert calls == {
        ('aten.convolution.default', '1x3x16x16, 8x3x3x3'): 1,
        ('aten.gelu.default', '1x8x14x14'): 1,
        ('aten.convolution.default', '1x8x14x14, 8x8x3x3'): 1,
        ('aten.convolution.default', '1x8x12x12, 8x8x3x3'): 1,
    }
    assert all(row['seconds'] > 0 for row in rows)
    (gelu,) = [row for row in rows if 'gelu' in row['operator']]
    assert gelu['bytes'] == 2 * 4 * 8 * 14 * 14
