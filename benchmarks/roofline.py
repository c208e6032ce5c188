"""The shortest time that a network can take on a device, operator by operator."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Operator = tuple[float, int]  # multiply-accumulates, numbers read and written


class _Heavy(TorchDispatchMode):
    """List the operators that multiply matrices or convolve."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Operator] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if flops := flop_registry.get(func._overloadpacket):
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            macs = flops(*args, **(kwargs or {}), out_val=out) / 2
            self.operators.append((macs, sum(tensor.numel() for tensor in tensors)))
        return out


def count_operators(forward: Callable[..., Any], *inputs: Tensor) -> list[Operator]:
    """List what every convolution, matrix product and attention of `forward(*inputs)` costs.

    Its inputs, weights included, are read and its outputs written once. Everything else
    (normalisation, activations, sums) counts as free: a perfect compiler does it on the way.
    """
    with torch.no_grad(), _Heavy() as heavy:
        forward(*inputs)
    return heavy.operators


def roofline_seconds(
    operators: list[Operator],
    macs_per_second: float,
    bytes_per_second: float,
    bytes_per_number: int,
) -> float:
    """Add up, for every operator, the longer of its arithmetic and its traffic.

    The roofline model (Williams et al. 2009) with measured peaks; the arithmetic of depthwise
    convolutions, for which no matrix unit exists, is counted at the matrix peak, too: a bound from
    below. Operators that are fused with each other can go below it.
    """
    return sum(
        max(macs / macs_per_second, numbers * bytes_per_number / bytes_per_second)
        for macs, numbers in operators
    )
