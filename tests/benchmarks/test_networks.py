"""Rows of networks that run, and of those that do not."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import networks as comparison
from benchmarks.backends import Setup
from benchmarks.machine import BenchmarkError
from benchmarks.networks import Network, Schedule, compare_networks, setups_of
from tests.facts import raises_naming


class Convolution(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)

    def forward(self, images):
        return (self.conv(images),)


@pytest.fixture(autouse=True)
def known_peaks(monkeypatch):
    """Bounds of a made-up machine; measuring this one's takes seconds."""
    monkeypatch.setattr(comparison, 'measure_bandwidth', lambda device: 1e9)
    monkeypatch.setattr(comparison, 'measure_matrix_peak', lambda device, precision: 1e10)


SCHEDULE = Schedule(sizes=(32,), rounds=3, seconds=1)


def convolution(name, channels, form='only'):
    return Network(name, form, lambda size: Convolution(channels))


def test_row_of_a_convolution():
    schedule = Schedule(sizes=(32, 40), batch_sizes=(1, 2), rounds=4, seconds=5)
    networks = [convolution('wide', 64), convolution('narrow', 2)]
    results = compare_networks(networks, [Setup()], schedule)
    json.dumps(results)
    rows = results['rows']
    assert [(r['model'], r['size'], r['batch_size']) for r in rows] == [
        (model, size, batch)
        for size in (32, 40)
        for batch in (1, 2)
        for model in ('wide', 'narrow')
    ]
    row = rows[6]
    assert row['label'] == 'wide/only/eager/fp32'
    assert row['parameters'] == 27 * 64
    assert row['macs'] == 40 * 40 * 27 * 64
    assert row['eager_bytes'] == 4 * (2 * 40 * 40 * (3 + 64) + 27 * 64)
    assert row['error'] == 0
    assert row['seconds'] == np.median(row['rounds'])
    assert row['quartiles'] == np.quantile(row['rounds'], (0.25, 0.75)).tolist()
    assert len(row['rounds']) == 4
    assert row['images_per_second'] == 2 / row['seconds']
    assert row['matrix_share'] == pytest.approx(2 * row['macs'] / row['seconds'] / 1e10)
    assert row['bandwidth_share'] == pytest.approx(row['eager_bytes'] / row['seconds'] / 1e9)
    assert row['times_faster'] == 1
    other = rows[7]
    ratios = np.divide(row['rounds'], other['rounds'])
    assert other['times_faster'] == pytest.approx(np.median(ratios))


def test_failures_are_rows_with_their_reason():
    def missing(size):
        raise BenchmarkError('the package is not installed')

    class Broken(Convolution):
        def forward(self, images):
            return (self.conv(images) * float('nan'),)

    class Refuses(Convolution):
        def forward(self, images):
            raise RuntimeError('first line\nsecond line')

    networks = [
        convolution('fine', 4),
        Network('missing', 'only', missing),
        Network('broken', 'only', lambda size: Broken(4)),
        Network('refuses', 'only', lambda size: Refuses(4)),
    ]
    shown = []
    results = compare_networks(
        networks, [Setup(), Setup('cudagraph')], SCHEDULE, None, shown.append
    )
    reasons = [row['reason'] for row in results['rows']]
    gpu = 'CUDA graphs need a GPU'
    missing = 'the package is not installed'
    refuses = 'RuntimeError: first line'
    assert reasons == [None, gpu, missing, missing, 'outputs are not finite', gpu] + [refuses] * 2
    assert [row['seconds'] is None for row in results['rows']] == [r is not None for r in reasons]
    assert results['rows'][0]['times_faster'] == 1
    assert f'  missing/only/eager/fp32: {missing}' in shown


def test_reference_is_found_by_the_start_of_its_label():
    networks = [convolution('a', 4, 'train'), convolution('a', 4, 'folded')]
    results = compare_networks(networks, [Setup()], SCHEDULE, 'a/folded')
    assert results['reference'] == 'a/folded/eager/fp32'
    assert [row['times_faster'] == 1 for row in results['rows']][1]
    with raises_naming(
        BenchmarkError, 'reference', "'b'", 'a/train/eager/fp32', 'a/folded/eager/fp32'
    ):
        compare_networks(networks, [Setup()], SCHEDULE, 'b')


def test_a_failed_reference_leaves_no_ratios():
    networks = [Network('a', 'only', lambda size: None), convolution('b', 4)]
    first, second = compare_networks(networks, [Setup()], SCHEDULE)['rows']
    assert first['reason'].startswith('AttributeError')
    assert second['seconds'] > 0
    assert second['times_faster'] is None


@pytest.mark.parametrize(
    ('changes', 'facts'),
    [
        (dict(sizes=(512, 0)), ('size', 0, 32)),
        (dict(sizes=(-1,)), ('size', -1, 32)),
        (dict(batch_sizes=(0,)), ('batch size', 0, 1)),
        (dict(rounds=0), ('rounds', 0, 1)),
        (dict(seconds=0), ('seconds', 0, 'more than 0')),
        (dict(seconds=math.nan), ('seconds', 'nan', 'more than 0')),
    ],
)
def test_bad_schedules(changes, facts):
    with raises_naming(BenchmarkError, *facts):
        compare_networks([convolution('a', 4)], [Setup()], Schedule(**changes))


def test_nothing_to_measure():
    with raises_naming(BenchmarkError, 'nothing to measure'):
        compare_networks([], [Setup()], SCHEDULE)


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_no_gpu():
    with raises_naming(BenchmarkError, 'device', "'cuda'", 'no GPU'):
        compare_networks([convolution('a', 4)], [Setup()], Schedule(device='cuda'))


def test_other_runtimes_have_no_layout():
    setups = setups_of(('eager', 'openvino'), ('fp32', 'bf16'), ('contiguous', 'channels_last'))
    assert [setup.label for setup in setups] == [
        'eager/fp32',
        'eager/fp32/channels_last',
        'eager/bf16',
        'eager/bf16/channels_last',
        'openvino/fp32',
        'openvino/bf16',
    ]


def test_error_of_outputs():
    expected = [np.array([3.0, -4.0]), np.array([1.0, 1.0])]
    found = [np.array([3.0, -4.5]), np.array([1.0, 1.0])]
    assert comparison.largest_error(found, expected) == pytest.approx(0.5 / np.sqrt(12.5))
    with raises_naming(BenchmarkError, 'shapes', '[(2,)]', '[(2,), (2,)]'):
        comparison.largest_error(found[:1], expected)
