"""Batches of several picture sizes: the published sets, what every plan keeps, real training."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import BaseDataset, ConcatDataset, DefaultSampler, RepeatDataset
from mmengine.hooks import DistSamplerSeedHook
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader, SequentialSampler

from fastvit_dense.engine.multi_scale import AtSampledSize, MultiScaleBatchSampler
from fastvit_dense.engine.seeding import (
    SeededIndex,
    SeededInfiniteSampler,
    SeededSampler,
    SeedSample,
)
from fastvit_dense.errors import ConfigError
from tests.facts import raises_naming

# MobileViT's paper and dense_recipes.md, section 2.2: sides and pictures for base 256, batch 128
PUBLISHED = ((160, 327), (192, 227), (256, 128), (288, 101), (320, 81))


def square(sizes):
    return tuple((side, side, images) for side, images in sizes)


def sampler_of(count=100, batch_size=16, seed=3, **arguments):
    return MultiScaleBatchSampler(SeededSampler(range(count), seed=seed), batch_size, **arguments)


# --- sizes ---------------------------------------------------------------------------------------


def test_published_set():
    built = DATA_SAMPLERS.build(
        dict(type='MultiScaleBatchSampler'),
        default_args=dict(sampler=SeededSampler(range(9), seed=0), batch_size=128),
    )
    assert built.scales == square(PUBLISHED)


def test_a_base_between_the_others():
    images = zip((160, 192, 224, 256, 288, 320), (250, 174, 128, 98, 77, 62), strict=True)
    assert sampler_of(batch_size=128, base_size=(224, 224)).scales == square(images)


def test_sizes_of_range_augment():
    """Sides that are no multiples of 32, and batches that stay above nothing."""
    found = sampler_of(
        batch_size=4, base_size=(1024, 1024), min_size=512, max_size=1280, num_scales=10
    )
    sides = (512, 608, 672, 768, 864, 928, 1024, 1120, 1184, 1280)
    assert found.scales == square(zip(sides, (16, 11, 9, 7, 5, 4, 4, 3, 2, 2), strict=True))


def test_the_papers_budget():
    """b_t = H_n W_n b / (H_t W_t): the largest has the batch size, the others more."""
    found = sampler_of(batch_size=128, budget='max').scales
    assert found == square((s, 320 * 320 * 128 // (s * s)) for s, _ in PUBLISHED)
    assert found[-1] == (320, 320, 128)


def test_height_and_width_of_their_own():
    found = sampler_of(
        batch_size=8, base_size=(256, 512), min_size=(128, 256), max_size=(384, 768), num_scales=3
    )
    assert found.scales == ((128, 256, 32), (256, 512, 8), (384, 768, 3))


def test_a_side_that_would_lose_more_than_a_tenth():
    """47 is nearest to 32, which is less than nine tenths of it."""
    assert sampler_of(base_size=(47, 47), min_size=47, max_size=47).scales[0][:2] == (64, 64)
    assert sampler_of(base_size=(5, 5), min_size=5, max_size=5).scales[0][:2] == (32, 32)


@pytest.mark.parametrize(
    ('arguments', 'facts'),
    [
        (dict(budget='mean'), ('budget', "'base'", "'max'", "'mean'")),
        (dict(batch_size=0), ('batch_size', 1, 0)),
        (dict(num_scales=2.5), ('num_scales', 1, 2.5)),
        (dict(base_size=(256, -1)), ('base_size', 1, -1)),
        (dict(min_size=320, max_size=160), ('min_size', 160, 320)),
    ],
)
def test_arguments_out_of_range(arguments, facts):
    with raises_naming(ConfigError, 'MultiScaleBatchSampler', *facts):
        sampler_of(**arguments)


def test_a_sampler_without_epochs():
    with raises_naming(ConfigError, 'SeededSampler', 'SeededInfiniteSampler'):
        MultiScaleBatchSampler(SeededInfiniteSampler(range(9), seed=0), 2)


def test_fewer_pictures_than_processes():
    """Told on each of them alike; filled up, all take part."""
    for rank in range(3):
        with raises_naming(ConfigError, 'sampler', 3, 'round_up=True', 2):
            of_rank(rank, 3, 2, seed=0, round_up=False, batch_size=4)
    plans = [of_rank(rank, 3, 2, seed=0, batch_size=4).plan(0) for rank in range(3)]
    assert {i for plan in plans for _, _, indices in plan for i in indices} == {0, 1}
    assert len({len(plan) for plan in plans}) == 1


# --- plans ---------------------------------------------------------------------------------------


def of_rank(rank, processes, count, seed, kind=SeededSampler, round_up=True, **arguments):
    """The sampler that one of several processes builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, processes))
        inner = kind(range(count), seed=seed, round_up=round_up)
    return MultiScaleBatchSampler(inner, **arguments)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_what_every_plan_keeps(data):
    count = data.draw(st.integers(1, 400), 'count')
    processes = data.draw(st.integers(1, 5), 'processes')
    seed, epoch = data.draw(st.integers(0, 2**31), 'seed'), data.draw(st.integers(0, 300), 'epoch')
    drop_last = data.draw(st.booleans(), 'drop_last')
    arguments = dict(
        kind=data.draw(st.sampled_from([SeededSampler, DefaultSampler])),
        round_up=data.draw(st.booleans(), 'round_up'),
        batch_size=data.draw(st.integers(1, 40), 'batch_size'),
        budget=data.draw(st.sampled_from(['base', 'max'])),
        num_scales=data.draw(st.integers(1, 7), 'num_scales'),
        drop_last=drop_last,
    )
    if count < processes and not arguments['round_up']:
        count = processes  # a process without any picture has nothing to fill with
    ranks = [of_rank(rank, processes, count, seed, **arguments) for rank in range(processes)]
    plans = [sampler.plan(epoch) for sampler in ranks]
    shapes = [[(h, w, len(indices)) for h, w, indices in plan] for plan in plans]

    # in step: sizes and batches of all processes are the same, and are those of the scales
    assert all(shape == shapes[0] for shape in shapes)
    assert set(shapes[0]) <= set(ranks[0].scales)
    for sampler, plan in zip(ranks, plans, strict=True):
        # the plan of another epoch leaves the sampler where it was
        assert sampler.sampler.epoch == 0
        sampler.sampler.set_epoch(epoch)
        order = list(sampler.sampler)
        assert len(sampler) == len(plan) == sampler.steps(epoch)
        assert list(sampler) == [indices for _, _, indices in plan] == list(sampler)
        flat = [int(index) for _, _, indices in plan for index in indices]
        assert all(i.size == (h, w) for h, w, indices in plan for i in indices)
        if drop_last:
            assert flat == order[: len(flat)]
            assert len(order) - len(flat) <= max(images for _, _, images in sampler.scales)
            continue
        # once each in the sampler's order, then from the start of that order, in the last batch
        assert flat[: len(order)] == order
        filling = flat[len(order) :]
        assert filling == [order[i % len(order)] for i in range(len(filling))]
        short = 1 if arguments['round_up'] else 2  # a process may have one picture less
        assert len(filling) < len(plan[-1][2]) + short - 1
    if not drop_last:
        assert {i for plan in plans for _, _, indices in plan for i in indices} == set(range(count))


def test_every_size_is_drawn_as_often():
    """Over 200 epochs each of the five has a fifth of the steps."""
    sampler = sampler_of(count=500, batch_size=8)
    plan = [batch[:2] for epoch in range(200) for batch in sampler.plan(epoch)]
    shares = [plan.count(scale[:2]) / len(plan) for scale in sampler.scales]
    assert np.abs(np.array(shares) - 0.2).max() < 0.02


def test_seeds_and_epochs_differ():
    one, other = sampler_of(seed=1), sampler_of(seed=2)
    assert one.plan(0) != one.plan(1) != other.plan(1)
    assert one.plan(7) == sampler_of(seed=1).plan(7)


def test_a_sampler_that_knows_no_epoch():
    sampler = MultiScaleBatchSampler(SequentialSampler(range(30)), 4)
    flat = [index for indices in sampler for index in indices]
    assert flat[:30] == list(range(30))
    assert len(sampler) == len(list(sampler)) == len(sampler.plan(0))


def test_an_empty_dataset():
    sampler = MultiScaleBatchSampler(SequentialSampler([]), 4)
    assert list(sampler) == sampler.plan(4) == []
    assert len(sampler) == 0


# --- pictures ------------------------------------------------------------------------------------


class Sizes(BaseDataset):
    """Samples that are what reached the pipeline."""

    def load_data_list(self):
        return [{'number': i} for i in range(40)]


def told(results):
    return results['number'], results['sampled_size'], float(torch.rand(()))


def sizes_of(count, pipeline=()):
    return Sizes(indices=count, pipeline=[SeedSample(), *pipeline, told])


def wrapped(kind):
    if kind == 'concat':
        return ConcatDataset([sizes_of(7), sizes_of(13)])
    return RepeatDataset(sizes_of(10), 2) if kind == 'repeat' else sizes_of(20)


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('kind', ['plain', 'concat', 'repeat'])
def test_pictures_learn_their_size(kind, num_workers):
    """In loading processes too, and below datasets that count anew."""
    dataset = wrapped(kind)
    sampler = MultiScaleBatchSampler(SeededSampler(dataset, seed=5), 4)
    loader = DataLoader(
        dataset, batch_sampler=sampler, num_workers=num_workers, collate_fn=lambda batch: batch
    )
    plan = sampler.plan(0)
    batches = list(loader)
    assert len(batches) == len(loader) == len(plan)
    for batch, (height, width, indices) in zip(batches, plan, strict=True):
        assert [size for _, size, _ in batch] == [(height, width)] * len(indices)
    noises = [noise for batch in batches for _, _, noise in batch][:20]
    assert len(set(noises)) == 20  # each index kept the seed of its own


def test_a_broken_picture_is_replaced_at_the_size_of_its_batch():
    """Loading comes after SeedSample and fails; mmengine then draws an index that has no size."""
    broken = {2, 5, 11}
    dataset = sizes_of(20, [lambda results: None if results['number'] in broken else results])
    sampler = MultiScaleBatchSampler(SeededSampler(dataset, seed=5), 4)
    for height, width, indices in sampler.plan(0):
        for index in indices:
            number, size, _ = dataset[index]
            assert number not in broken
            assert size == (height, width)


def test_index_keeps_what_it_carries():
    index = pickle.loads(pickle.dumps(SeededIndex(9, (1, 2), (64, 96))))
    for moved, expected in ((index, 9), (index - 4, 5), (index % 4, 1)):
        assert (moved, moved.key, moved.size) == (expected, (1, 2), (64, 96))


def test_transforms_take_the_words():
    """mmcv's Resize and the hand's crop, each at two sizes."""
    import mmcv.transforms  # noqa: F401 (registers)

    steps = [
        dict(type='mmcv.Resize', scale=('width', 'height'), keep_ratio=False),
        dict(type='RandomChoice', transforms=[[dict(type='mmcv.RandomFlip', prob=1.0)]]),
    ]
    for kinds, expected in (
        (steps, [(64, 96), (32, 160)]),
        ([dict(type='HandCrop', size='height')], [(64, 64), (32, 32)]),
    ):
        transform = AtSampledSize(kinds)
        for size, shape in zip([(64, 96), (32, 160)], expected, strict=True):
            picture = dict(img=np.zeros((50, 70, 3), np.uint8), sampled_size=size)
            assert transform(picture)['img'].shape == (*shape, 3)
    assert 'height' in repr(transform)


def test_a_sample_without_a_size():
    with raises_naming(ConfigError, 'AtSampledSize', 'SeedSample', 'MultiScaleBatchSampler'):
        AtSampledSize([])(dict(sample_idx=3))


def test_a_transform_that_leaves_a_sample_out():
    kinds = [dict(type='mmcv.Resize', scale=('width', 'height'))]
    assert AtSampledSize([dict(type=Leave), *kinds])(dict(sampled_size=(32, 32))) is None


class Leave:
    """Leaves every sample out."""

    def __call__(self, results):
        return None


# --- mmengine's hook -----------------------------------------------------------------------------


def test_mmengines_hook_reshuffles():
    """`DistSamplerSeedHook` as it is, on a dataloader as the runner builds it."""
    from types import SimpleNamespace

    dataset = sizes_of(40)
    sampler = MultiScaleBatchSampler(SeededSampler(dataset, seed=5), 4)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=lambda batch: batch)
    for epoch in (0, 1, 5):
        runner = SimpleNamespace(train_loop=SimpleNamespace(dataloader=loader), epoch=epoch)
        DistSamplerSeedHook().before_train_epoch(runner)
        plan = sampler_of(40, 4, seed=5).plan(epoch)
        assert len(loader) == len(plan)
        assert [[n for n, _, _ in batch] for batch in loader] == [i for _, _, i in plan]
