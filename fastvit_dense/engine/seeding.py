"""Random numbers that depend on where training stands, not on how it got there.

A run that was interrupted and resumed then sees the same augmentations, dropout and RoI samples
as one that was not, whatever the number of data loading workers:

- the samplers hand out each index together with a seed of its own,
- `SeedSample`, first in a pipeline, starts the random generators of a sample from that seed,
- `SeedHook` does the same for the model before each iteration.
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS, HOOKS, TRANSFORMS
from mmengine.runner import Runner


def seed_all(*key: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators from a tuple of non-negative integers."""
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """States of Python's, NumPy's and PyTorch's random generators."""
    return dict(
        python=random.getstate(),
        numpy=np.random.get_state(),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def set_random_states(states: dict[str, Any]) -> None:
    """Put the generators into the states that `random_states` gave."""
    random.setstate(states['python'])
    np.random.set_state(states['numpy'])
    torch.set_rng_state(states['torch'])
    if states['cuda']:
        torch.cuda.set_rng_state_all(states['cuda'])


class SeededIndex(int):
    """A dataset index that carries `.key`, of its random numbers, and `.size`, of its batch.

    Datasets that are made of others count within these: the rest keeps what the index carries.
    """

    key: tuple[int, ...] = ()
    size: tuple[int, int] | None = None

    def __new__(
        cls, index: int, key: tuple[int, ...] = (), size: tuple[int, int] | None = None
    ) -> 'SeededIndex':
        """Make the index; `key` are non-negative integers, `size` (height, width) in pixels."""
        self = super().__new__(cls, index)
        self.key = key
        self.size = size
        return self

    def __sub__(self, other: int) -> 'SeededIndex':
        return SeededIndex(int(self) - other, self.key, self.size)

    def __mod__(self, other: int) -> 'SeededIndex':
        return SeededIndex(int(self) % other, self.key, self.size)


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """mmengine's `DefaultSampler`; an index's seed follows from the run's seed, epoch and index."""

    def __iter__(self) -> Iterator[SeededIndex]:
        for index in super().__iter__():
            yield SeededIndex(index, (self.seed, self.epoch, index))


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """mmengine's `InfiniteSampler`; an index's seed follows from its place in the stream.

    The stream is that of all processes together: each takes every n-th index of it, so that a
    batch is made of the same samples whatever their number.
    """

    def _indices_of_rank(self) -> Iterator[SeededIndex]:
        for turn, index in enumerate(super()._indices_of_rank()):
            yield SeededIndex(index, (self.seed, turn * self.world_size + self.rank))


@TRANSFORMS.register_module()
class SeedSample:
    """Start the random generators for one sample; put it first in a training pipeline.

    Indices that carry no seed (other samplers, a retry after a broken image) leave the
    generators as they are. A size that a batch sampler drew is handed on as
    `results['sampled_size']`, to the picture that takes a broken one's place as well.
    """

    size: tuple[int, int] | None = None  # of the latest index that carried one

    def __call__(self, results: dict) -> dict:
        """Return `results`, with `sampled_size` (height, width) where there is one."""
        index = results.get('sample_idx')
        if key := getattr(index, 'key', ()):
            seed_all(*key)
        self.size = getattr(index, 'size', None) or self.size
        if self.size:
            results['sampled_size'] = self.size
        return results


@HOOKS.register_module()
class SeedHook(Hook):
    """Seed each training iteration from the run's seed, the iteration and the rank."""

    priority = 'VERY_HIGH'

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seed the generators that the model will use in this iteration."""
        seed_all(runner.seed, runner.iter, get_rank())
