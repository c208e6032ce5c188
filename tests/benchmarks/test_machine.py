"""Traffic against closed forms; peaks are positive and of the right order."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import machine
from tests.facts import raises_naming


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_traffic_of_layers(device):
    with torch.device(device):
        x = torch.empty(2, 6, 9, 10)
        conv = nn.Conv2d(6, 4, 3, padding=1)
        weights = 6 * 4 * 9 + 4
        expected = 4 * (x.numel() + weights + 2 * 4 * 90)
        assert machine.count_traffic(conv, x) == expected
        assert machine.count_traffic(F.relu, x) == 4 * 2 * x.numel()
        assert machine.count_traffic(lambda x: x.flatten(1).view(2, -1), x) == 0
        assert (
            machine.count_traffic(lambda x: x + x.half(), x)
            == (4 + 2) * x.numel() + (4 + 2 + 4) * x.numel()
        )


def test_machine_is_described():
    found = machine.describe_machine('cpu')
    assert found['threads'] == torch.get_num_threads()
    assert 1 <= found['cores'] <= 4096
    assert found['cpu']
    assert 'gpu' not in found


def test_peaks():
    small = machine.measure_matrix_peak('cpu', 'fp32', size=256)
    assert 1e8 < small < 1e14
    assert 1e8 < machine.measure_bandwidth('cpu', megabytes=4) < 1e13


def test_threads():
    before = torch.get_num_threads()
    try:
        machine.set_threads(1)
        assert torch.get_num_threads() == 1
        machine.set_threads(None)
        assert torch.get_num_threads() == machine.usable_cores()
        with raises_naming(machine.BenchmarkError, 'threads', 0, 1):
            machine.set_threads(0)
    finally:
        torch.set_num_threads(before)
