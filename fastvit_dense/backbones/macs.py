"""Multiply-accumulate operations of a forward pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def count_macs(forward: Callable[..., Any], *inputs: Any) -> int:
    """Count the multiply-accumulates of `forward(*inputs)`.

    Convolutions (transposed ones too), linear layers and matrix products count, those inside
    attention included; norms, activations, biases, resizing and custom kernels such as RoIAlign
    or deformable convolution do not. It runs without gradients; whatever is in training mode
    stays in it.

    Args:
        forward: A module, or any callable that runs one, for example
            `lambda images: model(images, mode='tensor')`.
        *inputs: Its arguments; tensors on the meta device make the count cheap where the model
            is on it too.
    """
    from torch.utils.flop_counter import FlopCounterMode

    fast_path = torch.backends.mha.get_fastpath_enabled()
    counter = FlopCounterMode(display=False)
    try:  # fused attention kernels hide their products from the counter
        torch.backends.mha.set_fastpath_enabled(False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            forward(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return counter.get_total_flops() // 2
