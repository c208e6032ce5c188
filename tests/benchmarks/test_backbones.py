"""Which backbones are compared, and their sizes against published ones."""

import sys

import pytest
import torch

from benchmarks import backbones as benchmark
from benchmarks import networks as comparison
from benchmarks.backbones import GROUPS, PEERS, benchmark_backbones, benchmark_repmixer, networks_of
from benchmarks.machine import BenchmarkError
from benchmarks.networks import Schedule
from fastvit_dense.backbones.variants import VARIANTS
from tests.facts import raises_naming

# The README's table: parameters in M as trained and folded, GMACs of the folded form at 512x512.
SIZES = {
    't8': (3.17, 3.14, 2.74),
    'sa12': (10.41, 10.37, 7.84),
}


@pytest.fixture(autouse=True)
def known_peaks(monkeypatch):
    """Bounds of a made-up machine; measuring this one's takes seconds."""
    monkeypatch.setattr(comparison, 'measure_bandwidth', lambda device: 1e9)
    monkeypatch.setattr(comparison, 'measure_matrix_peak', lambda device, precision: 1e10)


@pytest.mark.parametrize('name', ['t8', pytest.param('sa12', marks=pytest.mark.slow)])
def test_sizes_of_ours(name):
    train_parameters, folded_parameters, gmacs = SIZES[name]
    train, folded = networks_of(name)
    assert (train.form, folded.form) == ('train', 'folded')
    assert _sizes(train, 512)[0] == train_parameters
    assert _sizes(folded, 512) == (folded_parameters, gmacs)


def test_sizes_of_a_peer():
    """torchvision's table says 25,557,032 and 4.09 G; the classifier's 2,049,000 are left out."""
    pytest.importorskip('timm')
    assert _sizes(*networks_of('resnet50'), 224) == (23.51, 4.09)


def _sizes(network, size):
    """Parameters in M and GMACs; nothing is run."""
    built = comparison._Built(network, torch.empty(1, 3, size, size))
    return round(built.parameters / 1e6, 2), round(built.macs / 1e9, 2)


def test_peers_are_models_of_timm():
    timm = pytest.importorskip('timm')
    assert all(timm.is_model(name) for name in PEERS)
    forms = {name: [network.form for network in networks_of(name)] for name in PEERS}
    both = {name for name, found in forms.items() if found == ['train', 'folded']}
    assert both == {'mobileone_s4', 'repvit_m1_1'}
    assert all(forms[name] == ['only'] for name in set(PEERS) - both)
    assert set(GROUPS['ours']) == set(VARIANTS) - {'hd'}


@pytest.mark.parametrize(
    ('name', 'last'),
    [('resnet50', (1, 2048, 3, 4)), ('swin_tiny_patch4_window7_224', (1, 4, 4, 768))],
)
def test_peers_return_their_feature_maps(name, last):
    pytest.importorskip('timm')
    (network,) = networks_of(name)
    width = 128  # Swin is built for squares of one size
    height = 96 if last[1] == 2048 else 128
    with torch.no_grad():
        outputs = network.build(width)(torch.rand(1, 3, height, width))
    assert outputs[-1].shape == last


def test_folded_peers_compute_the_same():
    pytest.importorskip('timm')
    torch.manual_seed(0)
    train, folded = networks_of('repvit_m1_1')
    images = torch.rand(1, 3, 64, 64)
    outputs = []
    for network in (train, folded):
        torch.manual_seed(0)
        with torch.no_grad():
            outputs.append(network.build(64)(images))
    assert len(folded.build(64).state_dict()) < len(train.build(64).state_dict())
    for ours, theirs in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_backbones_side_by_side():
    pytest.importorskip('timm')
    shown = []
    results = benchmark_backbones(
        ['t8', 'repvit_m1_1', 't8'],
        Schedule(sizes=(64,), rounds=2, seconds=1),
        backends=['eager'],
        layouts=('contiguous', 'channels_last'),
        reference='repvit',
        forms=('folded',),
        progress=shown.append,
    )
    assert [row['label'] for row in results['rows']] == [
        't8/folded/eager/fp32',
        't8/folded/eager/fp32/channels_last',
        'repvit_m1_1/folded/eager/fp32',
        'repvit_m1_1/folded/eager/fp32/channels_last',
    ]
    assert all(row['reason'] is None and row['error'] < 1e-4 for row in results['rows'])
    assert results['reference'] == 'repvit_m1_1/folded/eager/fp32'


@pytest.mark.parametrize(
    ('name', 'near'), [('sa25', ['sa24']), ('resnet51', ['resnet50']), ('', []), ('../x', [])]
)
def test_unknown_models_are_refused_before_anything_is_measured(name, near):
    pytest.importorskip('timm')
    with raises_naming(BenchmarkError, repr(name), *near):
        benchmark_backbones(['t8', name], Schedule())


def test_without_timm_peers_are_rows_with_the_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    schedule = Schedule(sizes=(32,), rounds=1, seconds=1)
    models, backends = ['t8', 'resnet50'], ['eager']
    results = benchmark_backbones(
        models, schedule, forms=('folded',), backends=backends, progress=len
    )
    ours, peer = results['rows']
    assert ours['seconds'] > 0
    assert peer['label'] == 'resnet50/only/eager/fp32'
    assert peer['reason'] == 'timm is not installed: extra [dev]'


def test_repmixer_against_pooling(monkeypatch):
    monkeypatch.setitem(benchmark.FIGURE_3, 64, (1.7, 1.4))  # 256 is its smallest
    schedule = Schedule(sizes=(32, 64), rounds=3, seconds=1)
    results = benchmark_repmixer(schedule, backends=['eager'], progress=len)
    small, large = results['reductions']
    assert (small['size'], small['paper']) == (32, None)
    assert large['paper'] == pytest.approx(1 - 1.4 / 1.7)
    rows = {row['label']: row for row in results['rows'] if row['size'] == 64}
    pooling, ours = rows['pooling S12/folded/eager/fp32'], rows['repmixer S12/folded/eager/fp32']
    saved = sorted(1 - b / a for a, b in zip(pooling['rounds'], ours['rounds'], strict=True))
    assert large['saved'] == pytest.approx(saved[1])
    assert large['quartiles'][0] == pytest.approx((saved[0] + saved[1]) / 2)
    assert large['pooling_seconds'] == pooling['seconds']


@pytest.mark.parametrize(('size', 'saved'), [(384, 0.251), (1024, 0.439)])
def test_what_was_read_off_the_figure_fits_the_papers_text(size, saved):
    before, after = benchmark.FIGURE_3[size]
    assert 1 - after / before == pytest.approx(saved, abs=0.005)
