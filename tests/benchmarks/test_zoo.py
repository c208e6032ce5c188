"""The benchmark of the model zoo: its sizes, what cannot be measured, and how it goes on."""

import json

import pytest
import timm

from benchmarks.backbones import networks_of
from benchmarks.machine import BenchmarkError, bf16_slowdown
from benchmarks.networks import Schedule
from benchmarks.zoo import BACKBONES, MODELS, benchmark_zoo, parts_of, refusals, zoo_table
from benchmarks.zoo_sizes import config_names, config_sizes
from tests.facts import raises_naming

SCHEDULE = Schedule(sizes=(64,), rounds=1, seconds=0.1)
# multiply-accumulates of whole models that papers print, 10^9: FastViT's Table 9
PUBLISHED = {
    'semfpn_fastvit_sa12': 29.3,
    'semfpn_fastvit_sa24': 36.7,
    'semfpn_fastvit_sa36': 44.1,
    'semfpn_fastvit_ma36': 53.1,
}


def test_sizes_of_whole_models_are_the_published_ones(root_dir, monkeypatch):
    monkeypatch.chdir(root_dir)
    names = ['semfpn_fastvit_sa12', 'ssdlite_mobilevit_s']
    semantic, ssd = config_sizes(names, progress=len)
    assert round(semantic['macs'] / 1e9, 1) == PUBLISHED['semfpn_fastvit_sa12']
    assert semantic['size'] == [512, 512]
    assert ssd['parameters'] / 1e6 == pytest.approx(5.7, abs=0.05)  # MobileViT paper, Table 1
    assert (ssd['size'], ssd['reason']) == ([320, 320], None)


@pytest.mark.slow  # a minute: every model is built
@pytest.mark.integration
def test_every_config_has_sizes(root_dir, monkeypatch):
    monkeypatch.chdir(root_dir)
    rows = {row['config']: row for row in config_sizes(progress=len)}
    assert list(rows) == config_names()
    assert [row['reason'] for row in rows.values()] == [None] * len(rows)
    for name, gmacs in PUBLISHED.items():
        assert round(rows[name]['macs'] / 1e9, 1) == gmacs


def test_parts_are_what_the_configs_use():
    """Every family that the issue names, as timm has them; one config of each head."""
    for name in dict.fromkeys(name for names in BACKBONES.values() for name in names):
        assert networks_of(name)[-1].form in ('folded', 'only')
    light = [n for names in BACKBONES.values() for n in names if timm.is_model(n)]
    families = ('iformer', 'repvit', 'mobilenetv4', 'shvit', 'starnet', 'swiftformer')
    for family in (*families, 'efficientvim', 'cpubone', 'lowformer'):
        assert any(name.startswith(family) for name in light), family
    assert set(MODELS) <= set(config_names())
    heads = {name.partition('_')[0] for name in MODELS}
    assert heads == {'maskrcnn', 'semfpn', 'ssdlite', 'deeplabv3', 'handmesh'}
    parts = parts_of(SCHEDULE, {}, False, len)
    assert [part.name for part in parts] == ['sizes', *BACKBONES, *MODELS]


def test_ways_that_cannot_be_measured_have_their_reason():
    reasons = refusals()
    assert 'by hand' in reasons['eager int8']
    assert ('eager bf16' in reasons) == (bf16_slowdown() > 3)
    assert set(reasons) <= {'eager int8', 'eager bf16', 'openvino bf16'}


def test_a_stopped_run_goes_on(root_dir, monkeypatch, tmp_path):
    """Only what is missing is measured; another protocol, or another file, is refused."""
    monkeypatch.chdir(root_dir)
    out, shown = tmp_path / 'zoo.json', []
    names = [part.name for part in parts_of(SCHEDULE, {}, True, len)]
    measure = lambda **protocol: benchmark_zoo(
        out, Schedule(**{**vars(SCHEDULE), **protocol}), quick=True, progress=shown.append
    )
    monkeypatch.setattr('benchmarks.zoo.parts_of', lambda *args: parts_of(*args)[:1])
    measure()
    written = json.loads(out.read_text())
    assert list(written['parts']) == ['sizes'] == names[:1]
    assert written['parts']['sizes']['rows'][0]['macs'] > 1e8
    written['parts']['sizes']['minutes'] = 7.0
    out.write_text(json.dumps(written))
    shown.clear()
    results = measure()
    assert results['parts']['sizes']['minutes'] == 7.0
    assert '1 of 1 parts are there already' in shown[0]
    with raises_naming(BenchmarkError, out, 'protocol'):
        measure(rounds=2)
    out.write_text('{"rows": []}')
    with raises_naming(BenchmarkError, out, 'name another file'):
        measure()


@pytest.mark.slow  # writes and reads six files
@pytest.mark.integration
def test_quick(root_dir, monkeypatch, tmp_path):
    monkeypatch.chdir(root_dir)
    results = benchmark_zoo(tmp_path / 'zoo.json', SCHEDULE, quick=True, progress=len)
    rows = [row for part in results['parts'].values() for row in part['rows']]
    timed = [row for row in rows if row.get('seconds')]
    assert {row['precision'] for row in timed if 'precision' in row} >= {'fp32', 'int8'}
    assert {row['form'] for row in timed} >= {'folded', 'only', 'openvino/fp32', 'openvino/int8'}
    assert all(row['reason'] is None for row in rows)
    text = zoo_table(results)
    assert 'starnet_s050' in text.replace('\\', '')
    assert 'eager int8: PyTorch' in text
