"""Networks without a config, as files of the same kind: another library's backbone, say."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .description import Description
from .export import write
from .formats import find_format
from .onnx_file import trace_onnx
from .quantize import quantize
from .runtime import require


def export_network(
    network: nn.Module,
    image: Tensor,
    format: str,
    out: Path,
    name: str,
    calibration: Iterable[np.ndarray] | None = None,
) -> None:
    """Write a file that `ExportedNetwork` runs; nothing is folded and nothing is compared.

    Args:
        network: In eval mode, on the CPU; takes images and returns a sequence of feature maps,
            outputs `stage0`, `stage1`, ... of the file. What it takes, normalised or not, is what
            the file takes.
        image: (B, 3, H, W) to trace with; the file takes this number and this size only.
        format: 'onnx' or 'openvino'.
        out: The file: .onnx or .xml.
        name: For the description, in place of a config's.
        calibration: Inputs like `image` that the ranges of int8 are taken from; None: no int8.

    Raises:
        ExportError: What writes or runs the format is not installed, an operator has no
            counterpart in ONNX, or the place cannot be written to.
    """
    quantiser = [] if calibration is None else ['onnxruntime']
    for module in (*find_format(format).modules, *quantiser):
        require(module)
    description = Description(
        task='',
        part='backbone',
        config=name,
        classes=[],
        input_size=list(image.shape[2:]),
        dynamic_size=False,
        mean=[0.0] * 3,
        std=[1.0] * 3,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        input_layout=f'{tuple(image.shape)}, as the network takes it',
        precision='fp32' if calibration is None else 'int8',
    )
    graph = _Numbered(network, image).eval()  # tracing puts all below back into this one's mode
    model = trace_onnx(graph, image)
    if calibration is not None:
        model = quantize(model, calibration)
    write(model, description, format, out)


class _Numbered(nn.Module):
    """A network whose outputs have names."""

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.network = network
        with torch.no_grad():
            self.output_names = tuple(f'stage{i}' for i in range(len(network(image))))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to feature maps."""
        return tuple(self.network(image))
