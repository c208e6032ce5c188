"""The machine and what it can do: the measured bounds beside which times are read."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.errors import BenchmarkError
from fastvit_dense.evaluation.report.environment import collect_environment

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def describe_machine(device: str) -> dict[str, Any]:
    """The device, its cores or its GPU, the software, and how busy it was at the start."""
    machine = {
        'device': device,
        'cpu': collect_environment()['cpu'],
        'cores': usable_cores(),
        'threads': torch.get_num_threads(),
        'load': os.getloadavg()[0],
        'torch': torch.__version__,
    }
    if torch.device(device).type == 'cuda':
        machine['gpu'] = torch.cuda.get_device_name(device)
        machine['cuda'] = torch.version.cuda
        machine['tf32'] = {
            'convolutions': torch.backends.cudnn.allow_tf32,
            'matrix products': torch.backends.cuda.matmul.allow_tf32,
        }
    return machine


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int | None) -> None:
    """Let PyTorch, and the runtimes that are started later, use so many threads, or all cores.

    Raises:
        BenchmarkError: Fewer than one.
    """
    if count is not None and count < 1:
        raise BenchmarkError(f'threads is {count}, expected 1 or more')
    torch.set_num_threads(count or usable_cores())


def wait_for(device: str) -> None:
    """Return when the work given to a GPU is done; a CPU's always is."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


def measure_matrix_peak(device: str, precision: str, size: int | None = None) -> float:
    """Multiply-accumulates per second of PyTorch's product of two square matrices.

    Args:
        device: 'cpu' or 'cuda'.
        precision: 'fp32', 'bf16' or 'fp16'.
        size: Rows and columns; by default 2048, on a GPU 8192.
    """
    size = size or (8192 if torch.device(device).type == 'cuda' else 2048)
    a = torch.randn(size, size, device=device).to(DTYPES[precision])
    b = torch.randn(size, size, device=device).to(DTYPES[precision])
    out = torch.empty_like(a)
    return size**3 / _best(lambda: torch.mm(a, b, out=out), device)


def bf16_slowdown() -> float:
    """Seconds of a convolution in bfloat16 over those in fp32, on this processor."""
    seconds = {}
    for precision in ('fp32', 'bf16'):
        images = torch.randn(1, 64, 64, 64).to(DTYPES[precision])
        weight = torch.randn(64, 64, 3, 3).to(DTYPES[precision])
        with torch.no_grad():
            seconds[precision] = _best(partial(torch.conv2d, images, weight), 'cpu')
    return seconds['bf16'] / seconds['fp32']


def measure_bandwidth(device: str, megabytes: int | None = None) -> float:
    """Bytes per second that a copy reads and writes, of more data than caches hold.

    Args:
        device: 'cpu' or 'cuda'.
        megabytes: Of the copied data; by default 256, on a GPU 2048.
    """
    megabytes = megabytes or (2048 if torch.device(device).type == 'cuda' else 256)
    source = torch.zeros(megabytes << 18, device=device)
    target = torch.ones_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), device)


def _best(call: Callable[[], Any], device: str, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        wait_for(device)
        start = time.perf_counter()
        call()
        wait_for(device)
        times.append(time.perf_counter() - start)
    return min(times)


class _Traffic(TorchDispatchMode):
    """Add up the bytes of what every operator reads and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and func.namespace == 'aten':
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


def count_traffic(forward: Callable[..., Any], *inputs: Tensor) -> int:
    """Count the bytes that `forward(*inputs)` moves if no operator is fused with another.

    Every operator reads its inputs, weights included, and writes its outputs once; views move
    nothing. Divided by the time of an eager pass it is the bandwidth asked of caches and memory.
    """
    with torch.no_grad(), _Traffic() as traffic:
        forward(*inputs)
    return traffic.bytes
