"""Blocks whose insides the backward pass computes again, which saves the memory they take."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Blocks(nn.Sequential):
    """Modules in a row.

    Args:
        blocks: In their order.
        with_cp: Recompute each of them in the backward pass.
    """

    def __init__(self, blocks: list[nn.Module], with_cp: bool) -> None:
        super().__init__(*blocks)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        """Run one after the other."""
        for block in self:
            x = _recomputed(block, x) if self.with_cp and torch.is_grad_enabled() else block(x)
        return x


def _recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """Run a block whose insides the backward pass computes again."""
    if torch.compiler.is_compiling():  # a compiled backward pass moves no statistics
        return checkpoint(block, x, use_reentrant=False)
    contexts = lambda: (nullcontext(), _unmoved_statistics(block))
    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _unmoved_statistics(module: nn.Module) -> Iterator[None]:
    """Keep BatchNorms from counting a batch twice when checkpointing recomputes a block."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, _, batches in kept:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if batches is None else batches.clone()
    try:
        yield
    finally:
        for norm, momentum, batches in kept:
            norm.momentum = momentum
            norm.num_batches_tracked = batches
