"""An exported file in place of a PyTorch model: same inputs, same data samples, same scores.

`ExportedNetwork` runs the file, `ExportedModel` gives OpenMMLab's runner and our predictor what
the PyTorch model would. Only the network is the file's: preprocessing before it is the config's
pipeline, post-processing after it is the code that serves the PyTorch model.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import FUNCTIONS, MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..checkpoints.files import file_sha256
from ..config.stored import stored_config
from ..errors import ExportError, reason_of
from ..inference.batches import groups_of_one_shape
from ..tasks import find_task
from .description import Description
from .onnx_file import read_onnx
from .openvino_file import read_openvino

RUNTIMES = {'.onnx': 'onnxruntime', '.xml': 'openvino'}


class ExportedNetwork:
    """A file that `tools/export.py` wrote, ready to run.

    Args:
        path: `.onnx`, run by onnxruntime, or the `.xml` of OpenVINO.
        threads: As many as this; by default the runtime's choice.
        bf16: Let OpenVINO compute in bfloat16.
        device: 'cpu', or 'cuda' for onnxruntime on a GPU.

    Attributes:
        description: What the file says of itself.
        runtime: Name and version of what runs it.
        count: Images that it takes at once; None: any number.

    Raises:
        ExportError: The runtime is not installed or cannot do this here, or the file cannot be
            used; the message says why. Nothing of a file is run as code.
    """

    def __init__(
        self,
        path: str | Path,
        threads: int | None = None,
        bf16: bool = False,
        device: str = 'cpu',
    ) -> None:
        self.path = Path(path)
        name = RUNTIMES.get(self.path.suffix)
        if name is None:
            raise ExportError(
                f'{path}: expected {" or ".join(RUNTIMES)}; Core ML programs run on Apple devices'
            )
        require(name)
        if name == 'onnxruntime':
            require('onnx')
            self._open_onnx(threads, bf16, device)
        else:
            self._open_openvino(threads, bf16, device)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network.

        Args:
            image: (B, 3, H, W), RGB, 0-255; as many images as the file takes, `count`.

        Returns:
            The outputs by name.

        Raises:
            ExportError: It is no such array, or the file does not take this size.
        """
        image = np.asarray(image)
        if (
            image.ndim != 4
            or image.shape[1] != 3
            or self.count not in (None, image.shape[0])
            or not image.size
            or image.dtype.kind not in 'uif'
        ):
            count = 'batch' if self.count is None else self.count
            raise ExportError(
                f'{self.path}: expected ({count}, 3, height, width), RGB, 0-255, '
                f'found shape {image.shape} of {image.dtype}'
            )
        size = list(image.shape[2:])
        if not self.description.dynamic_size and size != self.description.input_size:
            raise ExportError(
                f'{self.path}: made for images of {self.description.input_size} '
                f'(height, width), found {size}'
            )
        return self.run(np.ascontiguousarray(image, dtype=np.float32))

    def each(self, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Run images (1, 3, H, W) of any sizes, those of one size together where the file can.

        Returns:
            The outputs of each by name, of one image.

        Raises:
            ExportError: As for a call.
        """
        if self.count is not None:
            return [self(image) for image in images]
        outputs: dict[int, dict[str, np.ndarray]] = {}
        for group in groups_of_one_shape([image.shape for image in images]):
            found = self(np.concatenate([images[place] for place in group]))
            self._check_counts(found, len(group))
            for row, place in enumerate(group):
                outputs[place] = {name: array[row : row + 1] for name, array in found.items()}
        return [outputs[place] for place in range(len(images))]

    def run(self, image: np.ndarray, copy: bool = True) -> dict[str, np.ndarray]:
        """Run the network on an array that is known to fit; nothing of it is checked.

        Args:
            image: As for a call, float32 and contiguous.
            copy: False lets OpenVINO give its own memory, which the next run overwrites.

        Returns:
            The outputs by name.

        Raises:
            ExportError: The runtime fails, for example for want of memory.
        """
        try:
            return self._run(image, copy)
        except Exception as error:  # neither runtime has a class of its own for this
            reason = reason_of(error).splitlines()[0]
            raise ExportError(
                f'{self.path}: {self.runtime} cannot run it: {reason:.200}'
            ) from error

    def _check_counts(self, outputs: dict[str, np.ndarray], count: int) -> None:
        for name, array in outputs.items():
            if array.shape[:1] != (count,):
                raise ExportError(
                    f'{self.path}: expected {count} rows of the output {name!r}, one for each '
                    f'image, found shape {array.shape}'
                )

    def _open_onnx(self, threads: int | None, bf16: bool, device: str) -> None:
        import onnxruntime

        if bf16:
            raise ExportError(f'{self.path}: onnxruntime has no bfloat16 here; use openvino')
        provider = 'CUDAExecutionProvider' if device == 'cuda' else 'CPUExecutionProvider'
        if provider not in onnxruntime.get_available_providers():
            raise ExportError(
                f'{self.path}: this build of onnxruntime has no {provider}: '
                'pip install onnxruntime-gpu in its place'
            )
        data, self.description = read_onnx(self.path)
        self.runtime = f'onnxruntime {onnxruntime.__version__}'
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # between two calls its threads leave the cores to others
        options.add_session_config_entry('session.force_spinning_stop', '1')
        if threads:
            options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(data, options, [provider])
        except Exception as error:  # onnxruntime's own types have no common base
            raise ExportError(f'{self.path}: onnxruntime refuses it: {reason_of(error)}') from error
        if session.get_providers()[0] != provider:  # it falls back to the CPU without an error
            raise ExportError(f'{self.path}: onnxruntime could not start {provider}')
        self._check_inputs(one.name for one in session.get_inputs())
        count = session.get_inputs()[0].shape[0]
        self.count = count if isinstance(count, int) else None
        names = [output.name for output in session.get_outputs()]
        self._run = lambda image, copy: dict(
            zip(names, session.run(None, {'image': image}), strict=True)
        )

    def _open_openvino(self, threads: int | None, bf16: bool, device: str) -> None:
        import openvino

        if device != 'cpu':
            raise ExportError(f'{self.path}: OpenVINO runs on the CPU, found device {device!r}')
        model, self.description = read_openvino(self.path)
        self.runtime = f'openvino {openvino.__version__.partition("-")[0]}'
        core = openvino.Core()
        if bf16 and 'BF16' not in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
            raise ExportError(f'{self.path}: this processor has no bfloat16 for OpenVINO to use')
        # by itself it computes in bfloat16 where the processor has it
        settings = {'INFERENCE_PRECISION_HINT': 'bf16' if bf16 else 'f32'}
        if threads:
            settings['INFERENCE_NUM_THREADS'] = threads
        try:
            compiled = core.compile_model(model, 'CPU', settings)
        except RuntimeError as error:
            raise ExportError(f'{self.path}: OpenVINO refuses it: {reason_of(error)}') from error
        self._check_inputs(one.any_name for one in compiled.inputs)
        count = compiled.inputs[0].partial_shape[0]
        self.count = None if count.is_dynamic else count.get_length()
        names = [output.any_name for output in compiled.outputs]

        def run(image: np.ndarray, copy: bool) -> dict[str, np.ndarray]:
            found = compiled([image])
            return {name: found[i].copy() if copy else found[i] for i, name in enumerate(names)}

        self._run = run

    def _check_inputs(self, names: Iterable[str]) -> None:
        if (found := list(names)) != ['image']:
            raise ExportError(
                f"{self.path}: no export of fastvit_dense: its inputs are {found}, not 'image'"
            )


def require(module: str) -> None:
    """Raise ExportError unless a module can be imported."""
    if importlib.util.find_spec(module) is None:
        raise ExportError(
            f'{module} is not installed: pip install {module}, or all that exporting needs: '
            "pip install 'fastvit-dense[deploy]'"
        )


@FUNCTIONS.register_module()
def exported_config(path: str | Path) -> Config:
    """Read the config that an exported file carries: what predicting with it needs, as data.

    Raises:
        ExportError: It cannot be read, or carries none.
        CheckpointError: Its config is more than data.
    """
    path = Path(path)
    if path.suffix not in RUNTIMES:
        raise ExportError(f'{path}: Core ML programs run on Apple devices')
    description = (read_onnx if path.suffix == '.onnx' else read_openvino)(path)[1]
    if not description.prediction:
        raise ExportError(f'{path}: carries no config, so it cannot stand alone; name its config')
    return stored_config(description.prediction, path, Path(description.config).stem)


@MODELS.register_module()
class ExportedModel(BaseModel):
    """A model that predicts with an exported file as the PyTorch model of a config does.

    Args:
        path: The exported file.
        model: The config's `model`, of which the settings of the post-processing are read.
        task: Name of the task.
        classes: The dataset's.
        data_preprocessor: What a config sets for all models; the file has its own inside.

    Raises:
        ExportError: The file is of another task or other classes, or a backbone alone.
    """

    def __init__(
        self,
        path: str,
        model: dict,
        task: str,
        classes: tuple[str, ...],
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__()
        self.network = ExportedNetwork(path)
        _check_fits(self.network.description, path, task, classes)
        self.post_processing = find_task(task).post_processing(self.network, ConfigDict(model))

    @property
    def mano(self) -> nn.Module:
        """The hand layer."""
        return self.post_processing.mano

    @property
    def info(self) -> dict[str, Any]:
        """Facts for reports on the file, as `model_info` gives of a checkpoint."""
        description = self.network.description
        names = ('config', 'checkpoint_sha256', 'parameters', 'macs', 'macs_of')
        found = {name: getattr(description, name) for name in names}
        return {**found, 'exported_sha256': file_sha256(self.network.path)}

    @property
    def form(self) -> str:
        """Name of what was run, for reports."""
        kind = RUNTIMES[self.network.path.suffix]
        name = 'ONNX' if kind == 'onnxruntime' else 'OpenVINO'
        return f'exported, {name} {self.network.description.precision}, {self.network.runtime}'

    def forward(
        self,
        inputs: list[Tensor] | Tensor,
        data_samples: list[BaseDataElement],
        mode: str = 'predict',
    ) -> list[BaseDataElement]:
        """Predict.

        Args:
            inputs: B images (3, H, W) of the config's pipeline, BGR, 0-255.
            data_samples: One per image.
            mode: 'predict'.

        Returns:
            The data samples, with predictions.
        """
        if mode != 'predict':
            raise ExportError(f'{self.network.path}: an exported file predicts, found {mode!r}')
        images = [image.flip(0)[None].float() for image in inputs]
        return self.post_processing(images, data_samples)


def _check_fits(description: Description, path: str, task: str, classes: tuple[str, ...]) -> None:
    if description.part != 'model':
        raise ExportError(f'{path}: holds a backbone alone; export with --part model')
    if description.task != task:
        raise ExportError(
            f'{path}: made for the task {description.task!r} ({description.config}), '
            f'the config is of {task!r}'
        )
    if list(classes) != list(description.classes):
        pairs = enumerate(zip_longest(description.classes, classes))
        label, (one, other) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        raise ExportError(
            f'{path}: its {len(description.classes)} classes are not the {len(classes)} of the '
            f'config (label {label} is {one!r} in the file, {other!r} in the config); use the '
            'config (and options) that it was exported with'
        )
