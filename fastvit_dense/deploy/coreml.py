"""Core ML programs: fp16, of stated image sizes, converted on any system, run on Apple devices.

Without a Mac nothing can be predicted here, so the check is of what can be checked: the traced
graph against PyTorch, and the structure of the program.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from ..errors import ExportError, reason_of
from ..graphs.agreement import MAX_ERROR, Line, relative_error
from .check import check_images, expected_maps
from .description import LAYOUT
from .job import Job, example_image, writing

if TYPE_CHECKING:
    from coremltools.models import MLModel


def export_coreml(job: Job, out: Path) -> Iterator[Line]:
    """Convert, write and check; see `export.export`.

    Args:
        job: What to convert; the file takes images of `description.input_size` and of
            `more_sizes`.
        out: `.mlpackage`.

    Yields:
        The comparisons.
    """
    description = replace(
        job.description,
        dynamic_size=bool(job.more_sizes),
        precision='fp16',
        takes_batches=False,
        input_layout=LAYOUT,
    )
    sizes = [(*description.input_size,), *job.more_sizes]
    with torch.no_grad(), warnings.catch_warnings(), ResizesByFactors():
        warnings.simplefilter('ignore')  # tracing warns of each size that it sees in Python
        traced = torch.jit.trace(job.graph, example_image(sizes[0]), check_trace=False)
    program = convert(traced, sizes, job.graph.output_names)
    program.user_defined_metadata.update(description.to_strings())
    program.short_description = f'fastvit_dense, {description.task}, {description.config}'
    program.version = description.fastvit_dense
    with writing(out) as made:
        program.save(str(made))
    for size in sizes:
        yield from check_traced(job, traced, size)
    yield from check_structure(program, sizes)


class ResizesByFactors(TorchFunctionMode):
    """Context in which maps are resized by whole factors, where these lead to the wanted size.

    coremltools has no nearest-neighbour resizing to a size that follows the image. The factors of
    one size hold for others where all are multiples of the network's stride.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.interpolate:
            return self._interpolate(*args, **kwargs)
        return function(*args, **kwargs)

    @staticmethod
    def _interpolate(
        x: torch.Tensor, size: Any = None, scale_factor: Any = None, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        if size is not None:
            sides = zip(size, x.shape[2:], strict=True)
            factor, *others = {int(new) / int(old) for new, old in sides}
            if not others and factor == 1:
                return x
            if not others and factor.is_integer():
                size, scale_factor = None, factor
        return F.interpolate(x, size, scale_factor, *args, **kwargs)


def convert(traced: Any, sizes: list[tuple[int, int]], output_names: tuple[str, ...]) -> 'MLModel':
    """Convert a traced graph to an fp16 `mlprogram` for iOS 16 and macOS 13.

    The input is of Core ML's image type, which a camera's frame can be given to.

    Raises:
        ExportError: The graph holds what coremltools cannot convert.
    """
    logging.getLogger('coremltools').setLevel(logging.ERROR)
    import coremltools as ct

    shapes = [(1, 3, *size) for size in sizes]
    shape = ct.EnumeratedShapes(shapes, default=shapes[0]) if shapes[1:] else shapes[0]
    hint = '--part backbone exports the backbone of any model'
    if shapes[1:]:
        hint = 'one --size may do, or sizes that are multiples of 32'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            return ct.convert(
                traced,
                convert_to='mlprogram',
                inputs=[ct.ImageType('image', shape, color_layout=ct.colorlayout.RGB)],
                outputs=[ct.TensorType(name, dtype=np.float32) for name in output_names],
                compute_precision=ct.precision.FLOAT16,
                minimum_deployment_target=ct.target.iOS16,
                skip_model_load=True,
            )
        except Exception as error:  # coremltools' errors have no common base
            reason = ' '.join(reason_of(error).split())[:300]
            raise ExportError(f'coremltools cannot convert the model: {reason}; {hint}') from error


def check_traced(job: Job, traced: Any, size: tuple[int, int]) -> Iterator[Line]:
    """The traced graph against the model as trained, on inputs of one of the file's sizes."""
    description, model = job.description, job.predictor.model
    whole = description.part == 'model'
    expected_of = job.predictor.task.expected_outputs if whole else expected_maps
    for name, picture in check_images(size, dynamic=False):
        expected = expected_of(model, picture)
        image = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32))
        with torch.no_grad():
            found = traced(image)
        found = found if isinstance(found, tuple | list) else (found,)
        for output, tensor in zip(job.graph.output_names, found, strict=True):
            error = relative_error(expected[output], tensor.numpy())
            yield Line(f'traced graph, {name}, {output}', error, MAX_ERROR)


def operations(program: 'MLModel') -> Counter:
    """Count how often each operator occurs in a program."""
    (function,) = program.get_spec().mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    return Counter(operation.type.rpartition('.')[2] for operation in block.operations)


def channel_scalings(program: 'MLModel') -> int:
    """Multiplications of a feature map by a constant for each channel: what folding removes."""
    (function,) = program.get_spec().mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    scales = set()
    for operation in block.operations:
        if operation.type == 'const':
            dimensions = operation.outputs[0].type.tensorType.dimensions
            size = [d.constant.size for d in dimensions]
            if size[-2:] == [1, 1] and np.prod(size) > 1:  # (C, 1, 1); heads have other constants
                scales.add(operation.outputs[0].name)
    return sum(
        operation.type == 'mul'
        and any(a.name in scales for key in 'xy' for a in operation.inputs[key].arguments)
        for operation in block.operations
    )


def input_sizes(program: 'MLModel') -> list[tuple[int, int]]:
    """Heights and widths of the images that a program takes."""
    (image,) = (entry.type.imageType for entry in program.get_spec().description.input)
    stated = [(size.height, size.width) for size in image.enumeratedSizes.sizes]
    return stated or [(image.height, image.width)]


def check_structure(program: 'MLModel', sizes: list[tuple[int, int]]) -> Iterator[Line]:
    """Check what can be told of a program without running it."""
    import coremltools as ct
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    known = {n for n, sets in SSAOpRegistry.core_ops.items() if min(sets) <= ct.target.iOS16}
    counts = operations(program)
    foreign = sorted(set(counts) - known)
    yield Line(f'operators that are not in the set of iOS 16 {foreign}', len(foreign), 0)
    yield Line('batch_norm left', counts['batch_norm'], 0)
    yield Line('multiplications by a constant per channel left', channel_scalings(program), 0)
    spec = program.get_spec()
    inputs = [(i.name, i.type.WhichOneof('Type')) for i in spec.description.input]
    yield Line(f'inputs other than one image: {inputs}', inputs != [('image', 'imageType')], 0)
    taken = input_sizes(program)
    yield Line(f'sizes other than {sizes}: {taken}', set(taken) != set(sizes), 0)
    others = [
        o.name for o in spec.description.output if o.type.WhichOneof('Type') != 'multiArrayType'
    ]
    yield Line(f'outputs that are no arrays {others}', len(others), 0)
