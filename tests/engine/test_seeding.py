"""Random numbers that do not depend on how training got where it stands."""

import pickle
import random
from itertools import islice

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader

from fastvit_dense.engine.seeding import (
    SeededIndex,
    SeededInfiniteSampler,
    SeededSampler,
    SeedSample,
    seed_all,
)


class Noise(BaseDataset):
    """Samples that are nothing but random numbers of all three generators."""

    def load_data_list(self):
        return [{'number': i} for i in range(12)]


def draw(results):
    values = random.random(), float(np.random.rand()), float(torch.rand(()))
    return results['sample_idx'], values


@pytest.fixture
def noise():
    return Noise(pipeline=[SeedSample(), draw])


def test_index_keeps_its_key_through_pickle():
    index = pickle.loads(pickle.dumps(SeededIndex(5, (1, 2, 3))))
    assert index == 5
    assert index.key == (1, 2, 3)
    assert [10, 11, 12, 13, 14, 15][index] == 15


def test_seed_all_reaches_every_generator():
    seed_all(1, 2)
    first = random.random(), np.random.rand(), torch.rand(3).tolist()
    seed_all(1, 2)
    assert (random.random(), np.random.rand(), torch.rand(3).tolist()) == first
    seed_all(2, 1)
    assert random.random() != first[0]


@pytest.mark.parametrize('num_workers', [0, 1, 2])
def test_epochs_do_not_depend_on_workers_or_history(noise, num_workers):
    """The second epoch alone equals the second epoch after a first one; epochs differ."""

    def epoch(number, workers):
        sampler = SeededSampler(noise, seed=7)
        sampler.set_epoch(number)
        loader = DataLoader(
            noise, 3, sampler=sampler, num_workers=workers, collate_fn=lambda batch: batch
        )
        return [sample for batch in loader for sample in batch]

    torch.rand(num_workers + 1)  # another history
    reference = epoch(1, 0)
    assert epoch(1, num_workers) == reference
    other = dict(epoch(0, num_workers))
    assert sorted(other) == sorted(dict(reference)) == list(range(12))
    assert all(other[i] != values for i, values in reference)


def test_infinite_stream_resumes_at_its_place(noise):
    """Skipping n indices gives the stream from n on, keys included; repeats differ."""
    whole = list(islice(SeededInfiniteSampler(noise, seed=3), 40))
    resumed = SeededInfiniteSampler(noise, seed=3)
    rest = islice(resumed, 25, None) if not hasattr(resumed, 'skip') else None
    if rest is None:
        resumed.skip(25)
        rest = iter(resumed)
    tail = list(islice(rest, 15))
    assert tail == whole[25:]
    assert [i.key for i in tail] == [i.key for i in whole[25:]]
    assert len({i.key for i in whole}) == 40


@pytest.mark.parametrize('processes', [2, 4])
def test_processes_share_one_stream(noise, monkeypatch, processes):
    """Taken in turns, the samples of all processes are those of one, random numbers included."""
    sampler = 'mmengine.dataset.sampler.get_dist_info'
    alone = list(islice(SeededInfiniteSampler(noise, seed=3), 24))
    parts = []
    for rank in range(processes):
        monkeypatch.setattr(sampler, lambda rank=rank: (rank, processes))
        parts.append(list(islice(SeededInfiniteSampler(noise, seed=3), 24 // processes)))
    shared = [index for turn in zip(*parts, strict=True) for index in turn]
    assert shared == alone
    assert [noise[index] for index in shared] == [noise[index] for index in alone]


def test_plain_indices_leave_the_generators_alone(noise):
    random.seed(0)
    state = random.getstate()
    SeedSample()({'sample_idx': 3})
    assert random.getstate() == state
