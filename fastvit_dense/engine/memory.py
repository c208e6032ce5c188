"""Steps that memory does not hold: the batch in parts, whose gradients are added up."""

import gc
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ShortOfMemoryError, reason_of
from .seeding import random_states, set_random_states

AT_ONCE = 'pictures_at_once'  # in the message hub: a resumed run takes as many
# errors of PyTorch that are no `OutOfMemoryError`: of its CPU allocator, cuBLAS, cuDNN and oneDNN
SIGNS = re.compile(
    r"can't allocate memory|not enough memory|ALLOC_FAILED|bad_alloc"
    r'|could not create a (?:primitive|memory)'
)


def is_short_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory does not suffice, a GPU's or this machine's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and SIGNS.search(str(error)) is not None


@contextmanager
def explained_memory() -> Iterator[None]:
    """Tell in one line of memory that does not suffice.

    Raises:
        ShortOfMemoryError: It does not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, ShortOfMemoryError) or not is_short_of_memory(error):
            raise
        raise ShortOfMemoryError(
            f'out of memory: {reason_of(error).splitlines()[0]:.200}; with one process '
            '--accumulate auto runs a batch in parts; else a smaller '
            'train_dataloader.batch_size with --accumulate, or smaller pictures'
        ) from error


@HOOKS.register_module()
class BatchInPartsHook(Hook):
    """Run a batch that memory does not hold in parts, whose gradients are added up.

    Where a step runs out of memory, it and all that follow take half as many pictures at a time.
    The batches stay what they are: data, its order, padding, steps and schedule. Each picture has
    its share of the loss, so that gradients are those of the whole batch where its loss is a mean
    over pictures; a mean over objects, as of Mask R-CNN's masks, weighs them by part. BatchNorm
    that trains takes its statistics of each part.

    With several processes, a compiled step or a model with a step of its own it does nothing.
    """

    def before_train(self, runner: Runner) -> None:
        """Put the step in parts in the place of the model's."""
        model: Any = runner.model
        own_step = getattr(type(model), 'train_step', None) is not BaseModel.train_step
        if not (own_step or get_world_size() > 1 or runner.cfg.get('compile')):
            model.train_step = StepInParts(runner)

    def after_train(self, runner: Runner) -> None:
        """Give the model its step back."""
        vars(runner.model).pop('train_step', None)


class StepInParts:
    """A training step as mmengine's `BaseModel.train_step`, in as many parts as memory asks for.

    Args:
        runner: With the model.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner, self.model = runner, runner.model

    def __call__(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Do the step.

        Returns:
            The losses, each the mean over the pictures.

        Raises:
            ShortOfMemoryError: Memory does not hold one picture.
        """
        with optim_wrapper.optim_context(self.model):
            data = self.model.data_preprocessor(data, True)
        start = _Start(self.model, optim_wrapper)
        size = len(data['inputs'])
        at_once = min(size, self.runner.message_hub.runtime_info.get(AT_ONCE, size))
        while True:
            try:
                losses = self._gradients(data, size, at_once, optim_wrapper)
                break
            except (MemoryError, RuntimeError) as error:
                if not is_short_of_memory(error):
                    raise
                reason = reason_of(error).splitlines()[0]
            # here the error is gone, and what its traceback held
            start.put_back()
            self._free()
            at_once = self._half(at_once, size, reason)
        if optim_wrapper.should_update():
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        return losses

    def _gradients(
        self, data: dict, size: int, at_once: int, optim_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Add the gradients of a batch to those that are there."""
        total: dict[str, Tensor] = OrderedDict()
        count = optim_wrapper._inner_count
        for first, last in _parts(size, at_once):
            part = {name: _part(value, size, first, last) for name, value in data.items()}
            with optim_wrapper.optim_context(self.model):
                losses = self.model._run_forward(part, mode='loss')
            loss, told = self.model.parse_losses(losses)
            share = (last - first) / size
            optim_wrapper._inner_count = count  # all parts are one step
            optim_wrapper.backward(optim_wrapper.scale_loss(loss * share))
            for name, value in told.items():
                total[name] = total.get(name, 0) + value.detach() * share
        return total

    def _half(self, at_once: int, size: int, reason: str) -> int:
        if at_once == 1:
            raise ShortOfMemoryError(
                f'out of memory with one picture at a time ({reason:.160}): smaller pictures or a '
                'smaller model fit'
            )
        half = (at_once + 1) // 2
        self.runner.message_hub.update_info(AT_ONCE, half)
        norms = any(isinstance(m, _BatchNorm) and m.training for m in self.model.modules())
        more = f'; BatchNorm that trains takes its statistics of {half}' if norms else ''
        self.runner.logger.warning(
            f'out of memory with {at_once} pictures at once: from here on {half} at a time, their '
            f'gradients added up to those of the batch of {size}{more}'
        )
        return half

    @staticmethod
    def _free() -> None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Start:
    """State that a step starts from: waiting gradients, buffers, random numbers; no weights."""

    def __init__(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        self.optim_wrapper, self.count = optim_wrapper, optim_wrapper._inner_count
        self.gradients = [
            (p, None if p.grad is None else p.grad.clone()) for p in model.parameters()
        ]
        self.buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        self.random = random_states()

    @torch.no_grad()
    def put_back(self) -> None:
        """Undo what a part of the step has done."""
        self.optim_wrapper._inner_count = self.count
        for parameter, gradient in self.gradients:
            parameter.grad = None if gradient is None else gradient.clone()
        for buffer, kept in self.buffers:
            buffer.copy_(kept)
        set_random_states(self.random)


def _parts(size: int, at_once: int) -> Iterator[tuple[int, int]]:
    """First and end of the parts of a batch, which differ by one picture at most."""
    count = -(-size // at_once)
    bounds = [size * number // count for number in range(count + 1)]
    yield from pairwise(bounds)


def _part(value: Any, size: int, first: int, last: int) -> Any:
    """The part of what has an entry for each picture; all of anything else."""
    if isinstance(value, Tensor | list | tuple) and len(value) == size:
        return value[first:last]
    return value
