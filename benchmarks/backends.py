"""One network run by PyTorch or by another runtime, as a call without arguments."""

import copy
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import DTYPES, BenchmarkError, wait_for

LAYOUTS = ('contiguous', 'channels_last')
_FILES: WeakKeyDictionary[nn.Module, dict[torch.Size, bytes]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Setup:
    """How a network is run.

    Attributes:
        backend: One of `BACKENDS`.
        precision: 'fp32' or 'bf16'.
        layout: 'contiguous' or 'channels_last'; other runtimes than PyTorch choose their own.
    """

    backend: str = 'eager'
    precision: str = 'fp32'
    layout: str = 'contiguous'

    @property
    def label(self) -> str:
        """Backend and precision, and the layout where it is not the default."""
        parts = [self.backend, self.precision]
        return '/'.join(parts if self.layout == 'contiguous' else [*parts, self.layout])


def make_call(module: nn.Module, images: Tensor, setup: Setup) -> Callable[[], object]:
    """Prepare a network for a runtime.

    Args:
        module: In eval mode, on the CPU; takes (B, 3, H, W) and returns a sequence of tensors. It
            is not changed.
        images: float32, on the device to run on.
        setup: How to run it.

    Returns:
        A call that runs the network on ``images``, returns its outputs when they are there, and
        takes no other argument.

    Raises:
        BenchmarkError: The runtime is not installed, or cannot do this.
    """
    with torch.inference_mode(setup.backend in ('eager', 'cudagraph')), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # exporters and compilers warn of their own future
        return BACKENDS[setup.backend](module, images, setup)


def to_arrays(outputs: object) -> list[np.ndarray]:
    """What a call of `make_call` returned, as float32 arrays."""
    return [
        output.detach().float().cpu().numpy()
        if isinstance(output, Tensor)
        else np.asarray(output, dtype=np.float32)
        for output in outputs
    ]


def _placed(module: nn.Module, images: Tensor, setup: Setup) -> tuple[nn.Module, Tensor]:
    dtype = DTYPES[setup.precision]
    memory_format = (
        torch.channels_last if setup.layout == 'channels_last' else torch.contiguous_format
    )
    module = copy.deepcopy(module).to(images.device, dtype, memory_format=memory_format)
    return module, images.to(dtype).contiguous(memory_format=memory_format)


def _eager(module: nn.Module, images: Tensor, setup: Setup) -> Callable[[], object]:
    module, images = _placed(module, images, setup)
    return _waiting(module, images)


def _waiting(function: Callable[[Tensor], object], images: Tensor) -> Callable[[], object]:
    device = str(images.device)

    def call() -> object:
        with torch.inference_mode():
            outputs = function(images)
        wait_for(device)
        return outputs

    return call


def _compiled(module: nn.Module, images: Tensor, setup: Setup) -> Callable[[], object]:
    module, images = _placed(module, images, setup)
    # A graph of its own: networks of one class would share, and fill, one cache of compiled code.
    with torch.no_grad():
        graph = torch.export.export(module, (images,)).module()
    return _waiting(torch.compile(graph, fullgraph=True, dynamic=False), images)


def _cudagraph(module: nn.Module, images: Tensor, setup: Setup) -> Callable[[], object]:
    if images.device.type != 'cuda':
        raise BenchmarkError('CUDA graphs need a GPU')
    module, images = _placed(module, images, setup)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            module(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = module(images)
    device = str(images.device)

    def call() -> object:
        graph.replay()
        wait_for(device)
        return outputs

    return call


def _onnxruntime(module: nn.Module, images: Tensor, setup: Setup) -> Callable[[], object]:
    runtime = _import('onnxruntime')
    if setup.precision != 'fp32':
        raise BenchmarkError(f'onnxruntime has no {setup.precision} convolution on this device')
    provider = 'CUDAExecutionProvider' if images.is_cuda else 'CPUExecutionProvider'
    if provider not in runtime.get_available_providers():
        raise BenchmarkError(f'this build of onnxruntime has no {provider}')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Its threads would go on spinning while the next candidate is timed.
    options.add_session_config_entry('session.force_spinning_stop', '1')
    session = runtime.InferenceSession(to_onnx(module, images.cpu()), options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise BenchmarkError(f'onnxruntime could not start {provider}')
    feed = {session.get_inputs()[0].name: images.cpu().numpy()}
    return lambda: session.run(None, feed)


def _openvino(module: nn.Module, images: Tensor, setup: Setup) -> Callable[[], object]:
    openvino = _import('openvino')
    if images.is_cuda:
        raise BenchmarkError('openvino does not run on this GPU')
    core = openvino.Core()
    if setup.precision == 'bf16' and 'BF16' not in core.get_property(
        'CPU', 'OPTIMIZATION_CAPABILITIES'
    ):
        raise BenchmarkError('this CPU has no bf16 arithmetic that openvino uses')
    compiled = core.compile_model(
        core.read_model(to_onnx(module, images)),
        'CPU',
        {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': 'f32' if setup.precision == 'fp32' else 'bf16',
            'INFERENCE_NUM_THREADS': torch.get_num_threads(),
        },
    )
    request, feed = compiled.create_infer_request(), images.numpy()
    return lambda: list(request.infer([feed], share_inputs=True, share_outputs=True).values())


def to_onnx(module: nn.Module, images: Tensor) -> bytes:
    """An ONNX file of the network for exactly the shape of ``images``; two runtimes share one."""
    _import('onnx')
    files = _FILES.setdefault(module, {})
    if images.shape not in files:
        file = io.BytesIO()
        with torch.no_grad():
            torch.onnx.export(
                module, (images,), file, input_names=['image'], opset_version=18, dynamo=False
            )
        files[images.shape] = file.getvalue()
    return files[images.shape]


def _import(name: str) -> object:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BenchmarkError(f'{name} cannot be imported ({error}): extra [deploy]') from error


BACKENDS: dict[str, Callable[[nn.Module, Tensor, Setup], Callable[[], object]]] = {
    'eager': _eager,
    'compiled': _compiled,
    'cudagraph': _cudagraph,
    'onnxruntime': _onnxruntime,
    'openvino': _openvino,
}
TORCH_BACKENDS = ('eager', 'compiled', 'cudagraph')
