"""OpenVINO files: the .xml of a graph and the .bin of its weights beside it."""

import math
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ExportError, reason_of
from ..limits import TENSOR_BYTES
from .description import Description

if TYPE_CHECKING:
    from onnx import ModelProto
    from openvino import Model

ENTRY = 'fastvit_dense_export'
LOOPS = ('Loop', 'TensorIterator')


def write_openvino(model: 'ModelProto', description: Description, path: Path) -> None:
    """Convert an ONNX model and write PATH.xml and PATH.bin.

    Where the description says fp16 weights are stored so, and the device decides what it computes
    in; else they are stored in full precision.
    """
    import openvino

    converted = _convert(model.SerializeToString())
    for name, text in description.to_strings().items():
        converted.set_rt_info(text, [ENTRY, name])
    openvino.save_model(converted, path, compress_to_fp16=description.precision == 'fp16')


def _convert(content: bytes) -> 'Model':
    """Do what `openvino.convert_model` does, which reports its use to a server and waits for it.

    Source: the steps of openvino/tools/ovc/moc_frontend/moc_emit_ir.py.
    """
    import openvino
    from openvino import _offline_transformations as steps

    model = openvino.Core().read_model(content)
    steps.apply_moc_transformations(model, cf=False, smart_reshape=True)
    steps.compress_quantize_weights_transformation(model)
    return model


def read_openvino(path: str | Path) -> tuple['Model', Description]:
    """Read a file and its description.

    Raises:
        ExportError: The file is missing, damaged, or no export of this package.
    """
    import openvino

    path = Path(path)
    if not path.is_file():
        raise ExportError(f'{path}: no such file')
    weights = path.with_suffix('.bin')
    if not weights.is_file():
        raise ExportError(f'{path}: {weights.name} with its weights is not beside it')
    try:
        model = openvino.Core().read_model(path, weights)
    except RuntimeError as error:
        raise ExportError(
            f'{path}: truncated, damaged or no OpenVINO model ({_last_line(error)})'
        ) from error
    places = [[ENTRY, field.name] for field in fields(Description)]
    strings = {
        place[1]: model.get_rt_info(place).astype(str)
        for place in places
        if model.has_rt_info(place)
    }
    description = Description.from_strings(strings, path)
    for node in model.get_ordered_ops():
        if node.get_type_name() in LOOPS:
            raise ExportError(
                f'{path}: refused, because it holds the operator {node.get_type_name()}, which may '
                'run without end; exports hold no loops'
            )
        for output in node.outputs():
            shape = output.get_partial_shape()
            size = 4 * math.prod(shape.to_shape()) if shape.is_static else 0
            if size > TENSOR_BYTES:
                raise ExportError(
                    f'{path}: refused, because a value of {node.get_type_name()} takes {size:,} '
                    f'bytes; expected at most {TENSOR_BYTES:,}'
                )
    return model, description


def _last_line(error: Exception) -> str:
    return reason_of(error).splitlines()[-1].strip()[:160]
