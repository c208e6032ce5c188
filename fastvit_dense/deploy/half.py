"""Half precision: networks in fp16, what is computed before and behind them in fp32.

Pixels less their mean, coordinates of boxes, rotations and meshes need more digits than fp16 has;
together they are a small part of the work.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ..graphs import agreement

# names that models give to their networks
NETWORKS = ('backbone', 'neck', 'decode_head', 'rpn_head', 'bbox_head', 'mask_head')

# limits for fp16 by those for fp32; the rounding of fp16 is 8,192 times coarser
LIMITS = {
    agreement.MAX_ERROR: 2e-2,
    agreement.MIN_LABELS: 0.99,
    agreement.MAX_BOX_ERROR: 1.0,
    agreement.MAX_SCORE_ERROR: 2e-2,
    agreement.MIN_MASK_IOU: 0.9,
    agreement.MAX_UNMATCHED: 0.1,
}


def in_half(graph: nn.Module) -> nn.Module:
    """A copy of a graph whose networks have fp16 weights and compute in fp16.

    Args:
        graph: Of `fastvit_dense.graphs`, in eval mode. What goes in and comes out stays float32.
    """
    graph = copy.deepcopy(graph)
    for path, module in graph.named_modules():
        if path.rpartition('.')[2] in NETWORKS:
            module.half()
            module.register_forward_pre_hook(lambda _, inputs: _cast(inputs, torch.float16))
            module.register_forward_hook(lambda *call: _cast(call[-1], torch.float32))
    return graph


def _cast(values: Any, dtype: torch.dtype) -> Any:
    return tree_map(lambda x: x.to(dtype) if isinstance(x, Tensor) else x, values)


def for_half(line: agreement.Line) -> agreement.Line:
    """A comparison with PyTorch, with the limit that fp16 can keep."""
    limit = line.limit
    return line if limit is None else replace(line, limit=LIMITS.get(limit, limit))
