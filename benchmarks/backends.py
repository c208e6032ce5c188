"""One network run by PyTorch, or as an exported file, as a call without arguments."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import DTYPES, BenchmarkError, wait_for
from fastvit_dense.deploy.network import export_network
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError

# what runs it: format and name of the file
FILES = {'onnxruntime': ('onnx', 'network.onnx'), 'openvino': ('openvino', 'network.xml')}


@dataclass(frozen=True)
class Setup:
    """A way to run a network.

    Attributes:
        backend: One of `BACKENDS`.
        precision: 'fp32', 'bf16', 'fp16' (of PyTorch alone), or 'int8' (of files alone: quantised
            with ranges of the one batch that is run).
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
        images: Float32, on the device to run on.
        setup: How to run it.

    Returns:
        A call that runs the network on `images`, which are in memory as the runtime takes them,
        and returns its outputs when they are there. A file has the network alone inside, without a
        normalisation, so that all runtimes do the same work.

    Raises:
        BenchmarkError: The runtime is not installed, or cannot do this.
    """
    with torch.inference_mode(setup.backend in ('eager', 'cudagraph')), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # exporters and compilers warn of their own future
        return BACKENDS[setup.backend](module, images, setup)


def to_arrays(outputs: object) -> list[np.ndarray]:
    """Return the outputs of a call of `make_call` as float32 arrays."""
    return [
        output.detach().float().cpu().numpy()
        if isinstance(output, Tensor)
        else np.asarray(output, dtype=np.float32)
        for output in outputs
    ]


def _placed(module: nn.Module, images: Tensor, setup: Setup) -> tuple[nn.Module, Tensor]:
    if setup.precision not in DTYPES:
        raise BenchmarkError(
            'PyTorch has int8 convolutions only in graphs that are prepared for it by hand'
        )
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
    return captured(lambda: module(images))


def captured(function: Callable[[], object]) -> Callable[[], object]:
    """Capture what a function does on the GPU as a CUDA graph; the call replays it and waits."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function()

    def call() -> object:
        graph.replay()
        wait_for('cuda')
        return outputs

    call.function = function  # a graph knows the addresses alone: what it reads must not be freed
    return call


def bf16_refusal() -> str:
    """The reason that OpenVINO does not compute in bfloat16 here; '' where it does."""
    try:
        import openvino
    except ImportError:
        return 'openvino is not installed: extra [deploy]'
    known = openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    return '' if 'BF16' in known else 'this processor has no bfloat16 for OpenVINO to use'


def _exported(module: nn.Module, images: Tensor, setup: Setup) -> Callable[[], object]:
    format, file_name = FILES[setup.backend]
    if setup.precision == 'fp16':
        raise BenchmarkError(f'{setup.backend} runs files in fp32 and bf16 here')
    with TemporaryDirectory() as folder:
        path = Path(folder) / file_name
        try:
            int8 = [images.cpu().numpy()] if setup.precision == 'int8' else None
            export_network(module, images.cpu(), format, path, 'benchmark', int8)
            network = ExportedNetwork(
                path,
                threads=torch.get_num_threads(),
                bf16=setup.precision == 'bf16',
                device=images.device.type,
            )
        except ExportError as error:
            raise BenchmarkError(str(error).removeprefix(f'{path}: ')) from error
    array = images.cpu().numpy()
    return lambda: list(network.run(array, copy=False).values())


BACKENDS: dict[str, Callable[[nn.Module, Tensor, Setup], Callable[[], object]]] = {
    'eager': _eager,
    'compiled': _compiled,
    'cudagraph': _cudagraph,
    'onnxruntime': _exported,
    'openvino': _exported,
}
TORCH_BACKENDS = ('eager', 'compiled', 'cudagraph')
