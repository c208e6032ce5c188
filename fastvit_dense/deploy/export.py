"""From a config and a checkpoint to a file for other runtimes, checked against PyTorch."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from ..config.stored import is_exported
from ..errors import ExportError, reason_of
from ..graphs.agreement import Line
from ..inference.exported import exported_model_cfg
from ..tasks.config import load_config, own_weights
from .check import check_backbone, check_batches, check_images, check_model
from .coreml import export_coreml
from .description import Description
from .formats import FORMATS, ExportFormat, find_format, register_format
from .half import for_half, in_half
from .onnx_file import describe_onnx, keep_used_domains, trace_onnx, with_score_threshold
from .openvino_file import write_openvino
from .quantize import calibration_inputs, check_count, quantize
from .runtime import ExportedModel, ExportedNetwork, require

if TYPE_CHECKING:
    from onnx import ModelProto

from .job import Job, checked_size, example_image, prepare, writing

PARTS = ('model', 'backbone')
QUANTISED = ('int8', 'int8 symmetric')
TRACED = (64, 64)  # sizes stay free, and convolutions in fp16 take a CPU long
MANO_LICENCE = (
    'the file holds the arrays of your MANO file: its licence (https://mano.is.tue.mpg.de/'
    'license.html) allows no passing on, so keep the file to yourself'
)


def export(
    config: str | Path,
    checkpoint: str | Path | None,
    format: str,
    out: str | Path,
    *,
    part: str = 'model',
    size: tuple[int, int] | None = None,
    more_sizes: Iterable[tuple[int, int]] = (),
    with_mano: bool = False,
    precision: str | None = None,
    int8: bool | str = False,
    calibration_images: int = 32,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
) -> int:
    """Write a file and check it against PyTorch; what was found is printed.

    Args:
        config: Config file, or a checkpoint that carries its config.
        checkpoint: Weights, loaded strictly; None: those of `config`.
        format: 'onnx', 'openvino', 'coreml', or one that was registered (`formats.py`).
        out: The file: .onnx, .xml (the weights come beside it, as .bin) or .mlpackage.
        part: 'model', or 'backbone': its feature maps alone.
        size: Height and width; by default those that the config tests with.
        more_sizes: Further ones. Core ML files take `size` and these, no others.
        with_mano: Hand: put the hand model inside, and give its mesh.
        precision: 'fp32' or 'fp16'; None: the format's own.
        int8: Quantise weights and activations to 8 bits; 'symmetric': with every zero point 0.
        calibration_images: Training images that the ranges of int8 are taken from.
        sample: Use the embedded sample data.
        cfg_options: `key=value` strings.

    Returns:
        1 where the check failed (the file stays), else 0.

    Raises:
        ExportError, ConfigError, CheckpointError, CheckpointMismatch: With what is wrong.
    """
    out = Path(out)
    checkpoint = own_weights(config) if checkpoint is None else checkpoint
    _check_arguments(checkpoint, part, with_mano)
    if int8:
        check_count(calibration_images)
    cfg = load_config(config, sample=sample, cfg_options=cfg_options, pretrained=False)
    entry = find_format(format)  # it may be one that the config's imports registered
    chosen = _precision(entry, precision, int8)
    _check_format(entry, out, bool(int8))
    more_sizes = tuple(more_sizes)
    if more_sizes and not entry.stated_sizes:
        raise ExportError(f'--size: give it once, {entry.name} files take any size')
    _check_place(out, checkpoint)
    job = prepare(cfg, checkpoint, part=part, size=size, with_mano=with_mano)
    reason = job.predictor.task.unsupported_formats.get(format)
    if reason and part == 'model':
        raise ExportError(f'--format {format}: {reason}')
    more_sizes = tuple(checked_size(job.predictor.task, other) for other in more_sizes)
    job = replace(
        job, precision=chosen, calibration_images=calibration_images, more_sizes=more_sizes
    )
    return _tell(entry.export(job, out) or (), job, out)


def export_traced(format: str, job: Job, out: Path) -> Iterator[Line]:
    """Write an ONNX or OpenVINO file of a job and compare it with PyTorch.

    Args:
        format: 'onnx' or 'openvino'.
        job: What to write.
        out: The file.
    """
    job = replace(job, description=replace(job.description, precision=job.precision))
    # OpenVINO makes fp16 of the graph itself
    in_fp16 = job.precision == 'fp16' and format == 'onnx'
    model = trace_onnx(in_half(job.graph), example_image(TRACED)) if in_fp16 else trace(job)
    if job.precision in QUANTISED:
        images = calibration_inputs(job.predictor, job.calibration_images)
        model = quantize(model, images, symmetric=job.precision.endswith('symmetric'))
    write(model, job.description, format, out)
    for line in check(job, model, format, out):
        # the loss of int8 is told, and scored by tools/test.py; limits of fp32 say nothing of it
        if job.precision in QUANTISED:
            yield replace(line, limit=None)
        else:
            yield for_half(line) if job.precision == 'fp16' else line


def trace(job: Job) -> 'ModelProto':
    """The ONNX model of a job, with its description."""
    model = trace_onnx(job.graph, example_image(job.description.input_size))
    describe_onnx(model, job.description)
    return model


def write(model: 'ModelProto', description: Description, format: str, out: Path) -> None:
    """Write an ONNX or OpenVINO file, whole or not at all.

    Raises:
        ExportError: The place cannot be written to.
    """
    describe_onnx(model, description)
    keep_used_domains(model)
    with writing(out) as made:
        if format == 'onnx':
            made.write_bytes(model.SerializeToString())
        else:
            write_openvino(model, description, made)


def check(job: Job, model: 'ModelProto', format: str, out: Path) -> Iterator[Line]:
    """Compare a written file with PyTorch; see `check.py`.

    A detector that finds too little at its own threshold is compared again without one: the same
    graph with one constant changed.
    """
    description, task = job.description, job.predictor.task
    square = task.square_images and description.part == 'model'
    size = tuple(description.input_size)
    images = list(check_images(size, square=square))
    if description.takes_batches:
        yield from check_batches(ExportedNetwork(out), size)
    if description.part == 'backbone':
        yield from check_backbone(job.predictor.model, ExportedNetwork(out), images)
        return
    lines = list(_check_file(job, job.predictor.model, out, images))
    easier = task.recheck(job.predictor.model, lines)
    if easier is None:
        yield from lines
        return
    yield from lines[:-1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'any score{out.suffix}'
        write(with_score_threshold(model, 0.0), description, format, path)
        for line in _check_file(job, easier, path, images):
            yield replace(line, what=f'any score, {line.what}')


def _check_file(job: Job, model: nn.Module, path: Path, images: list) -> Iterator[Line]:
    options = exported_model_cfg(job.predictor.cfg, path)
    options.pop('type')
    exported = ExportedModel(**options).eval()
    yield from check_model(job.predictor.task, model, exported, images)


def _tell(lines: Iterable[Line], job: Job, out: Path) -> int:
    compared = failed = 0
    for line in lines:
        print(line)
        compared += 1
        failed += not line.passed
    if not out.exists():
        raise ExportError(f'--out {out}: the function of this format wrote no such file')
    if job.description.mano != 'none' and not job.predictor.model.mano.is_standin:
        print(f'licence: {MANO_LICENCE}')
    if failed:
        print(f'{out}: written, but {failed} comparisons with PyTorch FAILED')
    elif not compared:
        print(f'{out}: written, but its format compares nothing with PyTorch')
    else:
        print(f'{out}: written, and compared with PyTorch as above')
    return int(failed > 0)


def _check_arguments(checkpoint: str | Path, part: str, with_mano: bool) -> None:
    if is_exported(checkpoint):
        raise ExportError(f'{checkpoint}: exported already; expected a checkpoint')
    if part not in PARTS:
        raise ExportError(f'--part {part}: expected one of {", ".join(PARTS)}')
    if with_mano and part != 'model':
        raise ExportError(f'--with-mano: for whole hand models, --part {part} has no hand')


def _check_format(entry: ExportFormat, out: Path, int8: bool) -> None:
    if out.suffix != entry.suffix:
        raise ExportError(
            f'--out {out}: expected a name that ends in {entry.suffix} for {entry.name}'
        )
    for module in (*entry.modules, *(['onnxruntime'] if int8 else [])):
        require(module)


def _precision(entry: ExportFormat, precision: str | None, int8: bool | str) -> str:
    """The precision that is asked for.

    Raises:
        ExportError: The format has no such files.
    """
    if int8 not in (False, True, 'symmetric'):
        raise ExportError(f"--int8 {int8}: expected nothing after it, or 'symmetric'")
    if int8 and precision:
        raise ExportError(f'--int8 and --precision {precision}: give one of them')
    option = f'--precision {precision}'
    wanted = precision or entry.precisions[0]
    if int8:
        option, wanted = ('--int8', 'int8') if int8 is True else (f'--int8 {int8}', f'int8 {int8}')
    if wanted not in entry.precisions:
        takers = [name for name, other in FORMATS.items() if wanted in other.precisions]
        raise ExportError(
            f'{option}: for {", ".join(takers) or "no format"}; {entry.name} files are '
            f'{" or ".join(entry.precisions)}'
        )
    return wanted


def _check_place(out: Path, checkpoint: str | Path) -> None:
    """See before minutes of work that the file can be written, and that nothing else is lost."""
    if out.suffix == '.mlpackage':
        is_other = out.exists() and not (out / 'Manifest.json').is_file()
    else:
        is_other = out.is_dir()
    if is_other:
        raise ExportError(f'--out {out}: something of this name is there, and is no earlier export')
    weights = out.with_suffix('.bin')
    if out.suffix == '.xml' and weights.resolve() == Path(checkpoint).resolve():
        raise ExportError(
            f'--out {out}: its weights would be written over the checkpoint {weights}'
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(out.parent, os.W_OK):
            raise PermissionError('no right to write into this folder')
    except OSError as error:
        raise ExportError(f'{out}: cannot be written: {reason_of(error)}') from error


for _name, _suffix, _runtime in (
    ('onnx', '.onnx', 'onnxruntime'),
    ('openvino', '.xml', 'openvino'),
):
    register_format(
        ExportFormat(
            _name,
            _suffix,
            ('onnx', _runtime),
            partial(export_traced, _name),
            ('fp32', 'fp16', *QUANTISED),
        )
    )
register_format(
    ExportFormat(
        'coreml', '.mlpackage', ('coremltools',), export_coreml, ('fp16',), stated_sizes=True
    )
)
