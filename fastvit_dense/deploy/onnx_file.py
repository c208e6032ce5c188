"""ONNX files: traced, written with their description, and read without trusting them.

PyTorch's exporter by tracing (`dynamo=False`) is used for all graphs. Its graphs are small (one
node for each operation), torchvision brings ONNX's RoiAlign to it, and sizes that depend on the
image need no bounds or guards. The exporter by `torch.export` would ask for the number of boxes
as a symbol that the pyramid levels and `topk` then cannot be proved to fit.
"""

import io
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ..errors import ExportError, reason_of
from ..graphs.detector import OPSET
from ..limits import TENSOR_BYTES
from .description import Description

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

FREE_SIZES = {
    'logits': {2: 'height', 3: 'width'},
    **{name: {0: 'detections'} for name in ('boxes', 'labels', 'scores', 'masks')},
    **{f'stage{i}': {2: f'height{i}', 3: f'width{i}'} for i in range(5)},
}
STANDARD_DOMAINS = ('', 'ai.onnx')
LOOPS = ('Loop', 'Scan')


def trace_onnx(graph: nn.Module, image: Tensor) -> 'ModelProto':
    """Trace a graph of `fastvit_dense.graphs`; height and width of the input stay free.

    So does the number of images where the graph takes batches.

    Args:
        graph: Module with `output_names`, in eval mode.
        image: (1, 3, H, W) to trace with.

    Raises:
        ExportError: An operator of the graph has no counterpart in ONNX.
    """
    import onnx

    batch = {0: 'batch'} if takes_batches(graph) else {}
    axes = {name: batch | FREE_SIZES.get(name, {}) for name in graph.output_names}
    file = io.BytesIO()
    with (
        torch.no_grad(),
        warnings.catch_warnings(),
        patch.object(torch._C, '_jit_onnx_log', create=True),  # an error prints the whole graph
    ):
        warnings.simplefilter('ignore')  # tracing warns of each size that it sees in Python
        try:
            torch.onnx.export(
                graph,
                (image,),
                file,
                opset_version=OPSET,
                dynamo=False,
                input_names=['image'],
                output_names=list(graph.output_names),
                dynamic_axes={'image': batch | {2: 'height', 3: 'width'}, **axes},
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = reason_of(error).splitlines()[0].partition('. ')[0]
            raise ExportError(
                f'the model cannot be written as ONNX: {reason}; '
                '--part backbone exports the backbone of any model'
            ) from error
    return onnx.load_from_string(file.getvalue())


def takes_batches(graph: nn.Module) -> bool:
    """Tell whether the outputs of a graph have the image first, so that there may be several."""
    return bool(getattr(graph, 'takes_batches', False))


def describe_onnx(model: 'ModelProto', description: Description) -> None:
    """Put the description into the metadata of a model, in place of what is there."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, description.to_strings())
    model.producer_name = 'fastvit_dense'
    model.producer_version = description.fastvit_dense


def keep_used_domains(model: 'ModelProto') -> None:
    """Remove operator sets that no node is of, in place; some runtimes refuse what they lack."""
    used = {node.domain for graph in _graphs(model.graph) for node in graph.node}
    names = {'' if name in STANDARD_DOMAINS else name for name in used}
    kept = {
        name: entry.version
        for entry in model.opset_import
        if (name := '' if entry.domain in STANDARD_DOMAINS else entry.domain) in names
    }
    del model.opset_import[:]
    for name, version in kept.items():
        model.opset_import.add(domain=name, version=version)


def read_onnx(path: str | Path) -> tuple[bytes, Description]:
    """Read a file as bytes that a runtime may open, and its description.

    Nothing of an ONNX graph is Python, but it can name other files to read as weights, and
    operators of libraries that are then loaded. Exports of this package do neither, so both are
    refused.

    Raises:
        ExportError: The file is missing, damaged, no export of this package, or names other files
            or operators that are not ONNX's own.
    """
    import onnx
    from google.protobuf.message import DecodeError

    path = Path(path)
    if not path.is_file():
        raise ExportError(f'{path}: no such file')
    data = path.read_bytes()
    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise ExportError(f'{path}: truncated, damaged or no ONNX file') from error
    if not model.graph.node:
        raise ExportError(f'{path}: truncated, damaged or no ONNX file')
    strings = {entry.key: entry.value for entry in model.metadata_props}
    description = Description.from_strings(strings, path)
    for graph in _graphs(model.graph):
        for tensor in _tensors(graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                place = next((e.value for e in tensor.external_data if e.key == 'location'), '?')
                raise ExportError(
                    f'{path}: refused, because its tensor {tensor.name!r} is to be read from '
                    f'another file, {place!r}; exports hold all their weights'
                )
        for node in graph.node:
            if node.domain not in STANDARD_DOMAINS:
                raise ExportError(
                    f'{path}: refused, because it needs the operator {node.domain}.{node.op_type}; '
                    'exports hold standard ONNX operators only'
                )
            if node.op_type in LOOPS:
                raise ExportError(
                    f'{path}: refused, because it holds the operator {node.op_type}, which may run '
                    'without end; exports hold no loops'
                )
    if model.functions:
        raise ExportError(f'{path}: refused, because it brings functions of its own')
    _check_memory(model, path)
    return data, description


def _check_memory(model: 'ModelProto', path: Path) -> None:
    """Refuse a graph in which a value is declared, or follows, to be too large to be computed."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # the runtime would refuse it, too
        raise ExportError(f'{path}: no valid graph: {reason_of(error)[:160]}') from error
    for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        sizes = [max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim]
        size = 4 * math.prod(sizes)
        if size > TENSOR_BYTES:
            raise ExportError(
                f'{path}: refused, because its value {value.name[:80]!r} takes {size:,} bytes; '
                f'expected at most {TENSOR_BYTES:,}'
            )


def with_score_threshold(model: 'ModelProto', threshold: float) -> 'ModelProto':
    """A copy of a detector's file that keeps detections from another score on."""
    import onnx
    from onnx import numpy_helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    constants = {node.output[0]: node for node in changed.graph.node if node.op_type == 'Constant'}
    tensors = {tensor.name: tensor for tensor in changed.graph.initializer}
    for node in changed.graph.node:
        if node.op_type != 'NonMaxSuppression':
            continue
        name = node.input[4]
        tensor = tensors[name] if name in tensors else constants[name].attribute[0].t
        value = numpy_helper.to_array(tensor)
        if value >= 0:  # the proposals' suppression has a negative one
            tensor.CopyFrom(numpy_helper.from_array(value * 0 + value.dtype.type(threshold), name))
    return changed


def _graphs(graph: 'GraphProto') -> Iterator['GraphProto']:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for child in (attribute.g, *attribute.graphs):
                if child.node or child.initializer:
                    yield from _graphs(child)


def _tensors(graph: 'GraphProto') -> Iterator[object]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
