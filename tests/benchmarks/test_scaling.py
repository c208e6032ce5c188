"""The arithmetic of training on many GPUs, by hand; what is counted, on a layer."""

import pytest
import torch
from torch import nn

from benchmarks.scaling import Gpu, kept_bytes, ring_bytes, scaling_table, step

GPU = Gpu('made up', flops=1e12, bandwidth=1e10, reached=0.5, node=8, inside=1e9, between=1e8)
MODEL = {'parameters': 1_000_000, 'macs': 1e9, 'kept': 10_000_000, 'batch_size': 4}


def test_one_step_by_hand():
    alone, node, many = (step(MODEL, gpus, GPU) for gpus in (1, 8, 64))
    # 1e9 x 2 flops x 3 x 4 pictures at 5e11 a second: 48 ms; 5 x 40 MB at 5e9: 40 ms
    assert alone['compute_seconds'] == pytest.approx(0.048)
    assert alone['network_seconds'] == alone['sent_bytes'] == 0
    assert alone['step_seconds'] == pytest.approx(0.048)
    assert alone['memory_bytes'] == 16_000_000 + 40_000_000
    assert node['sent_bytes'] == pytest.approx(2 * 7 / 8 * 4_000_000)
    assert node['network_seconds'] == pytest.approx(0.007)  # hidden behind 32 ms of backward
    assert node['step_seconds'] == pytest.approx(0.048)
    assert many['network_seconds'] == pytest.approx(2 * 63 / 64 * 0.04)
    assert many['step_seconds'] == pytest.approx(0.048 + many['network_seconds'] - 0.032)
    assert many['images_per_second'] == pytest.approx(256 / many['step_seconds'])


def test_bandwidth_may_be_the_limit():
    assert step({**MODEL, 'kept': 2e7}, 1, GPU)['compute_seconds'] == pytest.approx(0.08)


def test_ring_moves_at_most_twice_the_gradients():
    assert [ring_bytes(1000, n) for n in (1, 2, 4)] == [0, 4000, 6000]
    assert ring_bytes(1000, 10**6) < 8000


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_bytes_that_are_kept(device):
    """A ReLU in place keeps what the next layer keeps: one storage, counted once."""
    layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 4)).to(device)
    image = torch.zeros(2, 8, device=device)
    assert kept_bytes(layers, image, list(layers.parameters())) == 4 * (2 * 8 + 2 * 16)


def test_table():
    text = scaling_table({'models': [{'config': 'a', 'steps': [step(MODEL, 8, GPU)]}]})
    assert '| a ' in text
    assert ' 48.0 ' in text
