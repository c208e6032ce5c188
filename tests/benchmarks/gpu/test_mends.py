"""Mends of slow operators: equal to what stands, and judged by error before time."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.gpu import mends
from benchmarks.gpu.job import Job
from benchmarks.gpu.mend_ways import (
    CASES,
    Case,
    Work,
    convolution,
    in_contiguous_layout,
    make_ffn,
    weight_gradient,
    weight_gradient_by_fft,
    weight_gradient_contiguous,
    with_repeated_channels,
    with_two_convolutions,
)

SHAPES = [(2, 3, 9, 14), (1, 4, 8, 8), (2, 5, 1, 3), (1, 2, 7, 20)]
channels_last = torch.channels_last


def draw(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def views(x):
    """The same numbers in both layouts, and as a part of a larger tensor."""
    yield x.contiguous()
    yield x.contiguous(memory_format=channels_last)
    yield F.pad(x, (1, 2, 3, 4))[..., 3:-4, 1:-2]


@pytest.mark.parametrize('shape', SHAPES)
def test_downsampling(shape):
    """Against the sum over taps, written out."""
    channels = shape[1]
    weight, bias = draw((2 * channels, 1, 7, 7), 1), draw((2 * channels,), 2)
    taps = F.unfold(draw(shape), 7, padding=3, stride=2).unflatten(1, (channels, 1, 49))
    expected = (taps * weight.reshape(channels, 2, 49, 1)).sum(3).flatten(1, 2)
    expected = expected.reshape(shape[0], 2 * channels, -(-shape[2] // 2), -1)
    expected = expected + bias[:, None, None]
    halves = [(weight[m::2], bias[m::2]) for m in (0, 1)]
    for x in views(draw(shape)):
        for found in (
            convolution(x, weight, bias),
            with_repeated_channels(x, weight, bias),
            with_two_convolutions(x, *halves),
            in_contiguous_layout(x, weight, bias),
        ):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('shape', SHAPES)
def test_weight_gradient(shape):
    """Against what autograd gives for a convolution."""
    channels = shape[1]
    weight = torch.zeros(channels, 1, 7, 7, dtype=torch.float64, requires_grad=True)
    out = F.conv2d(draw(shape), weight, padding=3, groups=channels)
    (expected,) = torch.autograd.grad(out, weight, draw(shape, 1))
    for x, gradient in zip(views(draw(shape)), views(draw(shape, 1)), strict=True):
        for function in (weight_gradient, weight_gradient_contiguous, weight_gradient_by_fft):
            found = function(x, gradient)
            torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_every_part_of_the_ffn_counts():
    torch.manual_seed(0)
    ffn = make_ffn(16, 'cpu')
    x = torch.randn(2, 16, 9, 8)
    with torch.no_grad():
        assert 0.1 < ffn(x).std() / x.std() < 10
        bare = nn.Sequential(ffn.conv.conv, ffn.fc1, nn.GELU(), ffn.fc2)
        torch.testing.assert_close(ffn(x), bare(x))
    assert not any(parameter.requires_grad for parameter in ffn.parameters())


def test_the_part_runs_on_a_cpu(tmp_path):
    job = Job(tmp_path / 'mends.json', 60, 'cpu', quick=True)
    mends.measure(job)
    timed = [row for row in job.found['rows'] if 'error' in row]
    assert all(row['error'] < 1e-5 and row['seconds'] > 0 for row in timed)
    assert all(row['bytes_per_second'] > 0 for row in timed)
    assert {row['operator'] for row in timed} == {case.operator for case in CASES}
    assert len(timed) == 8
    best = [row for row in job.found['rows'] if row['name'].startswith('best of')]
    assert len(best) == 3
    assert all(row['saved_seconds'] >= 0 for row in best)
    others = [row for row in job.found['rows'] if row not in timed and row not in best]
    assert all('needs a GPU' in row['reason'] for row in others)


def test_what_is_wrong_is_never_the_best(tmp_path, monkeypatch):
    def broken():
        raise RuntimeError('no kernel')

    def make(case, device):
        sets = [(torch.full((1, 1, 2, 2), value),) for value in (2.0, 3.0)]
        makers = {
            'as it stands': lambda: lambda x: x * x + 0 * torch.randn(300, 300).sum(),
            'off': lambda: lambda x: x * x * 1.02,
            'partly written': lambda: lambda x: x * torch.tensor([float('nan'), 3.0]),
            'of another shape': lambda: lambda x: (x * x)[..., :1],
            'broken': lambda: broken(),
            'near': lambda: lambda x: x * x * 1.002,
        }
        return Work(lambda x: x * x, sets, 64, makers)

    monkeypatch.setattr(mends, 'MAKE', {'square': make})
    monkeypatch.setattr(mends, 'QUICK_CASES', (Case('square', (1, 1, 2, 2), 5),))
    job = Job(tmp_path / 'mends.json', 60, 'cpu', quick=True)
    mends.measure(job)
    rows = {row['name']: row for row in job.found['rows']}
    for name in ('off', 'partly written', 'of another shape', 'broken'):
        assert rows[name]['reason']
        assert 'seconds' not in rows[name]
    assert rows['off']['error'] == pytest.approx(0.02, rel=1e-3)
    best = rows['best of square']
    assert best['ways'] == '1x1x2x2 near'
    saved = rows['as it stands']['seconds'] - rows['near']['seconds']
    assert best['saved_seconds'] == pytest.approx(5 * saved)


def test_every_set_is_used_equally_often():
    sets = [(torch.tensor(float(number)),) for number in range(5)]
    seen = []
    out = mends.repeated(lambda x: seen.append(int(x)) or x, sets, 'cpu')()
    assert len(seen) == mends.graph_calls(sets) == 20
    assert [seen.count(number) for number in range(5)] == [4] * 5
    assert out == 4
