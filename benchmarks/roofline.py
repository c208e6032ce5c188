"""The shortest time that a network can take on a device, operator by operator."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.machine import wait_for

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


class _Clock(TorchDispatchMode):
    """Time every operator where it stands, some calls of it in a row."""

    REPEATS = 5

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.rows: dict[tuple, dict[str, Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func.is_view or func._schema.is_mutable:
            return out
        wait_for(self.device)
        start = time.perf_counter()
        for _ in range(self.REPEATS):
            func(*args, **kwargs)
        wait_for(self.device)
        seconds = (time.perf_counter() - start) / self.REPEATS
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        shapes = ', '.join('x'.join(map(str, t.shape)) for t in tensors[:2])
        row = self.rows.setdefault(
            (str(func), shapes), {'operator': str(func), 'shapes': shapes, 'calls': 0, 'seconds': 0}
        )
        row['calls'] += 1
        row['seconds'] += seconds
        row['bytes'] = sum(t.nbytes for t in [*tensors, *tree_leaves(out)] if isinstance(t, Tensor))
        return out


def time_operators(forward: Callable[..., Any], inputs: Tensor) -> list[dict[str, Any]]:
    """Time the operators of `forward(inputs)`, each alone, the costliest first.

    Returns:
        Rows of an operator with these shapes (of its first two tensors): `calls`, `seconds` of all
        calls together, `bytes` that one call reads and writes. What runs below some microseconds
        on a GPU is bounded by the time of a launch here.
    """
    with torch.inference_mode(False), torch.no_grad(), _Clock(str(inputs.device)) as clock:
        forward(inputs)
    return sorted(clock.rows.values(), key=lambda row: -row['seconds'])
