"""The compiled operators of mmcv that dense prediction needs, written over torchvision and PyTorch.

`openmmlab.install` offers these functions as the module `mmcv._ext` where mmcv came without
compiled operators. Each has the name, the parameters and the conventions of the compiled function
that the Python wrappers in `mmcv.ops` call: forward functions fill a given `output`, backward
functions fill given `grad_*` tensors. They run on CPU and CUDA; 16-bit tensors are computed in
float32. Two of them are not torchvision's: mmcv's RoIPool keeps fractional RoI borders where
torchvision (and ONNX's MaxRoiPool) round them, and torchvision has no multi-scale deformable
attention.

Boxes are (x1, y1, x2, y2) in pixels; RoIs are (image index, x1, y1, x2, y2) in input pixels,
multiplied by `spatial_scale` to reach feature cells.
"""

from collections.abc import Callable

import torchvision

from ...errors import OperatorError
from .common import HOW_TO_COMPILE
from .deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from .deformable_attention import ms_deform_attn_backward, ms_deform_attn_forward
from .focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from .roi import roi_align_backward, roi_align_forward, roi_pool_backward, roi_pool_forward
from .suppression import nms, softnms


def get_compiler_version() -> str:
    """Text that mmengine's environment report prints for mmcv's compiler."""
    return f'none (operators from torchvision {torchvision.__version__})'


def get_compiling_cuda_version() -> str:
    """Text that mmengine's environment report prints for the CUDA that compiled mmcv."""
    return 'none'


def missing_operator(name: str) -> Callable[..., None]:
    """A stand-in for an operator that has no replacement here.

    Args:
        name: The operator's name in `mmcv._ext`.

    Returns:
        A function that raises OperatorError naming the operator and the way to get it.
    """

    def operator(*args: object, **kwargs: object) -> None:
        raise OperatorError(
            f'mmcv operator "{name}" is not available without compiled operators; {HOW_TO_COMPILE}'
        )

    operator.__name__ = name
    return operator


OPERATORS = {
    function.__name__: function
    for function in (
        nms,
        softnms,
        roi_align_forward,
        roi_align_backward,
        roi_pool_forward,
        roi_pool_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        deform_conv_forward,
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        modulated_deform_conv_forward,
        modulated_deform_conv_backward,
        ms_deform_attn_forward,
        ms_deform_attn_backward,
        get_compiler_version,
        get_compiling_cuda_version,
    )
}
