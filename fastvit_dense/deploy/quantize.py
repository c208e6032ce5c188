"""8-bit post-training quantisation of an ONNX graph, with ranges from the training images.

Weights become int8 with a scale for each output channel, activations uint8 with one scale each,
written as QuantizeLinear and DequantizeLinear: standard operators that onnxruntime runs, and that
OpenVINO converts to its own int8 form, so that one quantisation serves both. The symmetric form has
int8 activations, and 0 for every zero point: that which TensorRT takes.

Weights use 7 of the 8 bits, but in the symmetric form: processors without VNNI instructions add
products of 8 bits in 16, which overflows (onnxruntime, "When and why do I need to try U8U8").
Products of two activations, which are attention's, stay as they are: 8 bits ruin them.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mmengine.registry import DATASETS, DefaultScope

from ..config.loaders import datasets_of
from ..errors import ExportError, reason_of

if TYPE_CHECKING:
    from onnx import ModelProto

    from ..inference.predictor import Predictor

SYMMETRIC = {'ActivationSymmetric': True, 'WeightSymmetric': True, 'QuantizeBias': False}
QUANTIZED_OPS = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')


def calibration_inputs(predictor: 'Predictor', count: int) -> Iterator[np.ndarray]:
    """Training images as the test pipeline prepares them, evenly spaced over the dataset.

    Args:
        predictor: For its config.
        count: How many at most.

    Yields:
        (1, 3, H, W) float32, RGB, 0-255.

    Raises:
        ExportError: `count` is below 1, the dataset is empty, or an image cannot be read.
        DataError: The dataset cannot be read.
    """
    from ..datasets.check.datasets import quick_check

    check_count(count)
    cfg = predictor.cfg
    quick_check(cfg, 'train_dataloader')
    scope = cfg.get('default_scope') or 'mmengine'
    settings = next(datasets_of(cfg, ('train_dataloader',))).copy()
    settings.pipeline = []
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(settings)
    places = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int)) if len(dataset) else []
    if not len(places):
        raise ExportError(f'{settings.get("data_root")}: no training images to calibrate with')
    for place in places:
        info = dataset.get_data_info(int(place))
        try:
            picture = predictor.reader.load(info)
        except Exception as error:
            raise ExportError(
                f'{info.get("img_path")}: this training image cannot be read: {reason_of(error)}'
            ) from error
        yield predictor.reader.transform(picture)['inputs'].flip(0)[None].float().numpy()


def check_count(count: int) -> None:
    """Raise ExportError unless there is something to calibrate with."""
    if count < 1:
        raise ExportError(f'--calibration-images {count}: expected at least 1')


def quantize(
    model: 'ModelProto', images: Iterable[np.ndarray], symmetric: bool = False
) -> 'ModelProto':
    """Quantise convolutions and matrix products with weights of a graph.

    Args:
        model: In fp32.
        images: (1, 3, H, W) inputs.
        symmetric: As TensorRT takes it: activations int8, every zero point 0, biases not quantised.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            return None if image is None else {'image': image}

    kind = quantization.QuantType
    logging.getLogger('root').setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        source, prepared, made = (Path(folder) / f'{i}.onnx' for i in range(3))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            made,
            Reader(),
            op_types_to_quantize=list(QUANTIZED_OPS),
            nodes_to_exclude=_without_weights(onnx.load(prepared)),
            per_channel=True,
            reduce_range=not symmetric,
            activation_type=kind.QInt8 if symmetric else kind.QUInt8,
            weight_type=kind.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options=SYMMETRIC if symmetric else {},
        )
        return onnx.load(made)


def _without_weights(model: 'ModelProto') -> list[str]:
    """Names of the matrix products of which neither side is a constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == 'MatMul']
    return [node.name for node in products if not constants & set(node.input)]
