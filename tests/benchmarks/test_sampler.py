"""Epochs with drawn sizes and with one size: the same pictures, by other batches."""

import pytest
import torch

from benchmarks.sampler import QUICK, WAYS, Work, benchmark_sampler, sampler_table, training_config
from fastvit_dense.engine.multi_scale import MultiScaleBatchSampler
from fastvit_dense.engine.seeding import SeededSampler

pytestmark = pytest.mark.integration


def test_all_ways_train_the_same_pictures(root_dir, monkeypatch, sample_data):
    """The published sizes for a base of 256; what differs is the batch sampler alone."""
    monkeypatch.chdir(root_dir)
    work, found = Work(), {}
    for way in WAYS:
        loader = training_config(work, way, 3).train_dataloader
        settings = dict(loader.batch_sampler)
        assert settings.pop('type') == 'MultiScaleBatchSampler'
        order = SeededSampler(range(work.images), seed=3)
        found[way] = MultiScaleBatchSampler(order, loader.batch_size, **settings)
    assert found['fixed'].scales == ((256, 256, 8),)
    sides = [160, 192, 256, 288, 320]
    assert [height for height, _, _ in found['base'].scales] == sides
    assert found['max'].scales[-1] == (320, 320, 8)
    assert found['base'].scales[2] == (256, 256, 8)
    for sampler in found.values():
        seen = [int(index) for _, _, indices in sampler.plan(1) for index in indices]
        assert set(seen) == set(range(work.images))


def test_table_tells_the_shares():
    row = dict(images_per_second=4.0, pixels_per_second=2e6, steps=10, peak_mb=900.0)
    rows = [row | dict(way=way, epoch_seconds=s) for way, s in zip(WAYS, (20, 15, 14), strict=True)]
    machine = dict(cpu='a CPU', cores=1, threads=1, torch='2')
    work = dict(base=256, batch_size=8, images=80, turns=3)
    text = sampler_table(dict(machine=machine, config='c', work=work, rows=rows))
    assert '75%' in text
    assert '70%' in text
    assert 'fixed, 256 px x 8' in text


@pytest.mark.slow  # three processes import OpenMMLab
def test_quick(root_dir, monkeypatch):
    monkeypatch.chdir(root_dir)
    torch.set_num_threads(1)
    rows = benchmark_sampler(QUICK, progress=len)['rows']
    assert [row['way'] for row in rows] == list(WAYS)
    for row in rows:
        (turn,) = row['turns']
        assert row['images'] >= QUICK.images
        assert row['pixels'] == sum(n * h * w for n, h, w in turn['shapes'])
        assert row['images_per_second'] == pytest.approx(row['images'] / row['epoch_seconds'])
        assert row['peak_mb'] > row['over_mb'] >= 0
