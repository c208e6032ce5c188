"""Parts shared by the operators."""

import torch
from torch import Tensor

from ..versions import COMPILE_MMCV

HOW_TO_COMPILE = f'install mmcv with its compiled operators: {COMPILE_MMCV}'


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it has 16 bits: not every kernel of torchvision takes those."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
