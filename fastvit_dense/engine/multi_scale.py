"""Batches of several picture sizes, with fewer pictures where these are larger.

The rule is that of MobileViT's variably-sized batch sampler (Mehta and Rastegari, ICLR 2022,
section 3.2; ml-cvnets, `variable_batch_sampler`), written from its description.
`MultiScaleBatchSampler` draws a size for every batch, `AtSampledSize` in the pipeline follows it.
"""

from collections.abc import Iterator
from itertools import chain, cycle, islice
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import sync_random_seed
from mmengine.registry import DATA_SAMPLERS, TRANSFORMS, DefaultScope
from torch.utils.data import Sampler

from ..config.types import find_type
from ..config.walk import dicts_of
from ..errors import ConfigError
from .seeding import SeededIndex, SeedSample

BUDGETS = ('base', 'max')


def sizes_between(smallest: int, largest: int, count: int, base: int, divisor: int) -> list[int]:
    """Sides in pixels: `count` evenly spaced ones and the base, as multiples of `divisor`.

    Each is rounded to the nearest multiple, half up; to the next one where that would lose more
    than a tenth.

    Returns:
        Ascending; two that are rounded to the same multiple are both there.
    """
    rounded = []
    for side in {*np.linspace(smallest, largest, count).tolist(), float(base)}:
        multiple = max(divisor, int(side + divisor / 2) // divisor * divisor)
        rounded.append(multiple + divisor if multiple < 0.9 * side else multiple)
    return sorted(rounded)


@DATA_SAMPLERS.register_module()
class MultiScaleBatchSampler(Sampler[list[int]]):
    """Batches whose picture size is drawn anew for each, of about the same number of pixels.

    Sizes and lengths follow from the sampler's seed and epoch alone, so all processes take the
    same size in the same step, and a resumed run goes on as the whole one would have. The epoch
    is the sampler's: mmengine's `DistSamplerSeedHook` sets it. Epochs differ in length by a
    few steps.

    Every index of an epoch comes once; a short last batch is filled from the start of the epoch's
    order. The indices are `SeededIndex`, whose `size` is (height, width): put `SeedSample` first
    in the pipeline and what depends on the size into `AtSampledSize`.

    Args:
        sampler: Gives an epoch's indices of this process: `SeededSampler` or mmengine's
            `DefaultSampler`.
        batch_size: Pictures of this process in a batch, at the size that `budget` names.
        drop_last: Leave the short last batch out instead of filling it.
        base_size: Height and width in pixels, one of the sizes.
        min_size: Smallest side, pixels; a pair is of height and width.
        max_size: Largest side, pixels; a pair is of height and width.
        num_scales: Sizes from the smallest to the largest, evenly spaced.
        divisor: All sides are multiples of this.
        budget: 'base' gives `batch_size` pictures to the base size, as the original's code does;
            'max' to the largest size, as the paper's text has it, the other batches grow.

    Attributes:
        scales: ((height, width, batch size), ...), ascending.

    Raises:
        ConfigError: An argument out of its range, a sampler that has no epochs, or one that leaves
            a process without any picture.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        drop_last: bool = False,
        base_size: tuple[int, int] = (256, 256),
        min_size: int | tuple[int, int] = 160,
        max_size: int | tuple[int, int] = 320,
        num_scales: int = 5,
        divisor: int = 32,
        budget: str = 'base',
    ) -> None:
        if isinstance(sampler, InfiniteSampler):
            raise ConfigError(
                'MultiScaleBatchSampler: sampler: expected one that has epochs, such as '
                f"dict(type='SeededSampler', shuffle=True), found {type(sampler).__name__}"
            )
        _check_numbers(batch_size=batch_size, num_scales=num_scales, divisor=divisor)
        if budget not in BUDGETS:
            raise ConfigError(
                f"MultiScaleBatchSampler: budget: expected 'base' or 'max', found {budget!r}"
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        sides = []
        for base, low, high in zip(*map(_pair, (base_size, min_size, max_size)), strict=True):
            _check_numbers(base_size=base, min_size=low, max_size=high)
            if low > high:
                raise ConfigError(
                    f'MultiScaleBatchSampler: min_size: expected at most max_size, {high}, '
                    f'found {low}'
                )
            sides.append(sizes_between(low, high, num_scales, base, divisor))
        sizes = sorted(set(zip(*sides, strict=False)))  # the original drops the longer list's rest
        height, width = _pair(base_size) if budget == 'base' else sizes[-1]
        self.scales = tuple(
            (h, w, max(1, int(round(height * width * batch_size / (h * w), 2)))) for h, w in sizes
        )
        total, processes = self._of_all_processes()
        if 0 < total < processes:
            raise ConfigError(
                f'MultiScaleBatchSampler: sampler: expected pictures for all {processes} processes '
                f'(round_up=True repeats them), found {total}'
            )
        seed = getattr(sampler, 'seed', None)
        self.seed = sync_random_seed() if seed is None else seed
        self._drawn: tuple[int, np.ndarray] | None = None

    def plan(self, epoch: int) -> list[tuple[int, int, list[int]]]:
        """All batches of an epoch on this process: (height, width, indices) of each."""
        before = getattr(self.sampler, 'epoch', None)
        if before is None:  # a sampler without epochs: all are alike
            return list(self._batches(epoch))
        self.sampler.set_epoch(epoch)
        try:
            return list(self._batches(epoch))
        finally:
            self.sampler.set_epoch(before)

    def steps(self, epoch: int) -> int:
        """Number of batches of an epoch, the same on all processes."""
        return len(self._scales_of(epoch))

    def __len__(self) -> int:
        return self.steps(self._epoch)

    def __iter__(self) -> Iterator[list[int]]:
        for _, _, indices in self._batches(self._epoch):
            yield indices

    @property
    def _epoch(self) -> int:
        return getattr(self.sampler, 'epoch', 0)

    def _batches(self, epoch: int) -> Iterator[tuple[int, int, list[int]]]:
        """Batches of the sampler's present order."""
        rest = iter(self.sampler)
        start = list(islice(rest, max(images for _, _, images in self.scales)))
        order = chain(start, rest, cycle(start))
        for number in self._scales_of(epoch):
            height, width, images = self.scales[number]
            size = height, width
            indices = islice(order, images)
            yield height, width, [SeededIndex(i, getattr(i, 'key', ()), size) for i in indices]

    def _scales_of(self, epoch: int) -> np.ndarray:
        """Numbers of the scales of an epoch's batches, in order; the latest are kept."""
        if self._drawn is None or self._drawn[0] != epoch:
            images = np.array([images for _, _, images in self.scales])
            count = self._indices_of_a_process()
            random = np.random.default_rng((self.seed, epoch))
            drawn = random.integers(len(images), size=-(-count // int(images.min())))
            ends = images[drawn].cumsum()
            whole = int(np.searchsorted(ends, count, side='right'))
            short = not self.drop_last and count > (ends[whole - 1] if whole else 0)
            self._drawn = epoch, drawn[: whole + short]
        return self._drawn[1]

    def _indices_of_a_process(self) -> int:
        """Indices of an epoch on the process that has most; on that with fewest if some go."""
        total, processes = self._of_all_processes()
        return total // processes if self.drop_last else -(-total // processes)

    def _of_all_processes(self) -> tuple[int, int]:
        """Indices of an epoch and processes that share them, as far as the sampler tells."""
        total, processes = (getattr(self.sampler, n, None) for n in ('total_size', 'world_size'))
        if total is None or processes is None:
            return len(self.sampler), 1
        return total, processes


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _check_numbers(**arguments: Any) -> None:
    for name, value in arguments.items():
        if type(value) is not int or value < 1:
            raise ConfigError(
                f'MultiScaleBatchSampler: {name}: expected a whole number of at least 1, '
                f'found {value!r}'
            )


@TRANSFORMS.register_module()
class AtSampledSize:
    """Transforms at the size that `MultiScaleBatchSampler` drew for the batch.

    The words 'height' and 'width' in their settings stand for its numbers of pixels: mmcv's
    `dict(type='Resize', scale=('width', 'height'))`, mmseg's `dict(type='RandomCrop',
    crop_size=('height', 'width'))`, `dict(type='RandomHandCrop', size='height')`.

    Args:
        transforms: Settings of the transforms, in order.
    """

    def __init__(self, transforms: list[dict]) -> None:
        current = DefaultScope.get_current_instance()
        # loading processes that are spawned know of no scope
        scope = {} if current is None else {'_scope_': current.scope_name}
        self.transforms = [{**scope, **settings} for settings in transforms]
        self._built: dict[tuple[int, int], list] = {}

    def __call__(self, results: dict) -> dict | None:
        """Return `results` after all transforms; None where one of them leaves the sample out.

        Raises:
            ConfigError: The sample has no size.
        """
        size = results.get('sampled_size')
        if size is None:
            raise ConfigError(
                'AtSampledSize: the sample has no size; expected SeedSample first in the pipeline, '
                "and train_dataloader.batch_sampler=dict(type='MultiScaleBatchSampler')"
            )
        if size not in self._built:
            words = dict(zip(('height', 'width'), size, strict=True))
            self._built[size] = [TRANSFORMS.build(_fill(t, words)) for t in self.transforms]
        found: dict | None = results
        for transform in self._built[size]:
            found = transform(found)
            if found is None:
                return None
        return found

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms})'


def _fill(node: Any, words: dict[str, int]) -> Any:
    """A copy of settings with numbers in the place of words."""
    if isinstance(node, dict):
        return {key: _fill(value, words) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(_fill(value, words) for value in node)
    return words.get(node, node) if isinstance(node, str) else node


def check_sampled_sizes(cfg: Config) -> None:
    """Check that nothing in a config undoes the sizes of a `MultiScaleBatchSampler`.

    Raises:
        ConfigError: No transform follows the sizes, the preprocessor pads to a fixed one, or the
            dataloader has a `drop_last` of its own.
    """
    loader, scope = cfg.train_dataloader, cfg.get('default_scope')
    sampler = loader.get('batch_sampler') or {}
    if find_type(sampler.get('type'), scope) is not MultiScaleBatchSampler:
        return
    beside = 'beside batch_sampler MultiScaleBatchSampler'
    kinds = [find_type(step.get('type'), scope) for _, step in dicts_of(loader.dataset)]
    for kind in (SeedSample, AtSampledSize):
        if kind not in kinds:
            raise ConfigError(
                f'{cfg.filename}: train_dataloader.dataset.pipeline: expected {kind.__name__} '
                f'{beside}, found none: the pictures would not have the sizes of their batches'
            )
    if loader.get('drop_last'):
        raise ConfigError(
            f'{cfg.filename}: train_dataloader.drop_last: expected False {beside}, which takes '
            'its own, found True'
        )
    for place, parent in (('model.data_preprocessor', cfg.model), ('data_preprocessor', cfg)):
        size = (parent.get('data_preprocessor') or {}).get('size')
        if size:
            raise ConfigError(
                f'{cfg.filename}: {place}.size: expected None {beside}, found {size}: every batch '
                'would be padded to it; write data_preprocessor=dict(size=None, size_divisor=32)'
            )
