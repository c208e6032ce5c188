"""Pictures of rare classes more often: the repeat factors of LVIS (arXiv 1908.03195)."""

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.registry import DATA_SAMPLERS

from ..datasets.mask_reading import read_mask
from .seeding import SeededIndex

THRESHOLD = 0.3  # share of the pictures that a class is in, from which on it is not rare
MOST = 10  # times that a picture is shown in a pass over the data


def repeated(dataset: Any, threshold: float = THRESHOLD) -> list[int]:
    """Indices of a dataset, those of pictures with rare classes several times.

    A picture is shown sqrt(threshold / share) times, rounded up, of its rarest class's share of the
    pictures; 10 times at most.

    Args:
        dataset: Of mmdet, or of mmseg, whose masks are read.
        threshold: 0-1; classes in more pictures than this share are not rare.
    """
    labels = [_labels(dataset, i) for i in range(len(dataset))]
    shown = Counter(label for found in labels for label in found)
    times = {
        label: min(MOST, math.ceil(math.sqrt(max(1.0, threshold * len(labels) / count)) - 1e-9))
        for label, count in shown.items()
    }
    return [
        index
        for index, found in enumerate(labels)
        for _ in range(max((times[label] for label in found), default=1))
    ]


def _labels(dataset: Any, index: int) -> set[int]:
    """The classes in a picture."""
    info = dataset.get_data_info(index)
    if 'instances' in info:
        return {i['bbox_label'] for i in info['instances'] if not i.get('ignore_flag')}
    values = np.unique(read_mask(info['seg_map_path'])).tolist()
    offset = int(bool(info.get('reduce_zero_label')))
    return {value - offset for value in values if offset <= value != 255}


class _Repeated(list[int]):
    """Repeated indices, which tell of their pictures what batch samplers ask (mmdet's, their size).

    Args:
        dataset: Of mmdet or mmseg.
        threshold: See `repeated`.
    """

    def __init__(self, dataset: Any, threshold: float) -> None:
        super().__init__(repeated(dataset, threshold))
        self.get_data_info = dataset.get_data_info  # by an index of the dataset


@DATA_SAMPLERS.register_module()
class BalancedSampler(DefaultSampler):
    """`SeededSampler` over the repeated indices.

    Args:
        dataset: Of mmdet or mmseg.
        threshold: See `repeated`.
        **settings: Of mmengine's `DefaultSampler`.
    """

    def __init__(self, dataset: Any, threshold: float = THRESHOLD, **settings: Any) -> None:
        self.indices = _Repeated(dataset, threshold)
        super().__init__(self.indices, **settings)

    def __iter__(self) -> Iterator[SeededIndex]:
        yield from map(partial(_seeded, self), super().__iter__())


def _seeded(sampler: BalancedSampler, place: int) -> SeededIndex:
    return SeededIndex(sampler.indices[place], (sampler.seed, sampler.epoch, place))


@DATA_SAMPLERS.register_module()
class BalancedInfiniteSampler(InfiniteSampler):
    """`SeededInfiniteSampler` over the repeated indices; arguments of `BalancedSampler`."""

    def __init__(self, dataset: Any, threshold: float = THRESHOLD, **settings: Any) -> None:
        self.repeated = _Repeated(dataset, threshold)
        super().__init__(self.repeated, **settings)

    def _indices_of_rank(self) -> Iterator[SeededIndex]:
        for turn, place in enumerate(super()._indices_of_rank()):
            key = (self.seed, turn * self.world_size + self.rank)
            yield SeededIndex(self.repeated[place], key)
