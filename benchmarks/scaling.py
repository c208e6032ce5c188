"""Step time, memory and network of training on many GPUs, on paper.

What is counted: parameters, multiply-accumulates, and the bytes that a forward pass keeps for the
backward one (on the meta device, without arithmetic). What is assumed stands in `GPU`.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from fastvit_dense.backbones.macs import count_macs
from fastvit_dense.evaluation.report.tables import table
from fastvit_dense.tasks import task_of
from fastvit_dense.tasks.config import load_config


@dataclass(frozen=True)
class Gpu:
    """A data sheet, and how much of it is reached.

    Attributes:
        name: Of the card.
        flops: Of its matrix units, a second, in TF32, which convolutions in float32 use.
        bandwidth: Bytes a second of its memory.
        reached: Share of both that training reaches: an assumption until it is measured.
        node: GPUs that share a machine.
        inside: Bytes a second of one GPU to others in its machine, one way.
        between: Bytes a second of one GPU's share of the network, one way.
    """

    name: str
    flops: float
    bandwidth: float
    reached: float
    node: int
    inside: float
    between: float


GPU = Gpu('H100 SXM', 494e12, 3.35e12, 0.4, 8, 450e9, 50e9)
COUNTS = (1, 8, 64, 512)
OF_ADAM = 16  # bytes a parameter: weight, gradient, two moments, in float32
TRAFFIC = 5  # times that a kept byte moves: written and read forward, read backward, its gradient
BACKWARD = 2  # multiply-accumulates of the backward pass, in those of the forward one


def ring_bytes(parameters: int, gpus: int) -> float:
    """Bytes that each GPU sends in a ring all-reduce of float32 gradients."""
    return 2 * (gpus - 1) / gpus * 4 * parameters


def step(model: dict[str, Any], gpus: int, gpu: Gpu = GPU) -> dict[str, float]:
    """Seconds and bytes of one training step.

    Args:
        model: `parameters`, `macs` and `kept` (bytes) of one picture, `batch_size` per GPU.
        gpus: Number of GPUs, those of a machine first.
        gpu: What is assumed.
    """
    flops = 2 * model['macs'] * (1 + BACKWARD) * model['batch_size']
    moved = TRAFFIC * model['kept'] * model['batch_size']
    compute = max(flops / gpu.flops, moved / gpu.bandwidth) / gpu.reached
    sent = ring_bytes(model['parameters'], gpus)
    network = sent / (gpu.inside if gpus <= gpu.node else gpu.between)
    # gradients are exchanged while the rest of the backward pass runs
    hidden = compute * BACKWARD / (1 + BACKWARD)
    seconds = compute + max(0.0, network - hidden)
    return {
        'gpus': gpus,
        'batch': gpus * model['batch_size'],
        'compute_seconds': compute,
        'network_seconds': network,
        'sent_bytes': sent,
        'step_seconds': seconds,
        'images_per_second': gpus * model['batch_size'] / seconds,
        'memory_bytes': OF_ADAM * model['parameters'] + model['kept'] * model['batch_size'],
    }


def kept_bytes(run: Any, image: torch.Tensor, parameters: Sequence[torch.Tensor]) -> int:
    """Bytes that a forward pass keeps for the backward one, weights aside; each storage once."""
    own = {parameter.untyped_storage()._cdata for parameter in parameters}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = run(image)
    assert outputs is not None
    return sum(storage.nbytes() for storage in kept.values())


def count(config: str) -> dict[str, Any]:
    """Parameters of a config's model; of one picture, multiply-accumulates and bytes kept.

    Of a detector's pictures backbone and neck are counted: its heads depend on what they find.
    """
    cfg = load_config(config, pretrained=False)
    if 'mano' in cfg.model:
        cfg.model.mano = dict(standin=True)
    init_default_scope(cfg.default_scope)
    model: nn.Module = MODELS.build(copy.deepcopy(cfg.model))
    size = task_of(cfg).macs_size
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model = model.to('meta').train()
    image = torch.empty(1, 3, *size, device='meta')
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:  # one picture: no statistics of 1x1 maps
        norm.eval()
    run = model.extract_feat if hasattr(model, 'roi_head') else model
    return {
        'config': Path(config).stem,
        'size': list(size),
        'parameters': parameters,
        'macs': count_macs(run, image),
        'kept': kept_bytes(run, image, list(model.parameters())),
        'batch_size': cfg.train_dataloader.batch_size,
    }


def benchmark_scaling(configs: Sequence[str], counts: Sequence[int] = COUNTS) -> dict[str, Any]:
    """The numbers of every config on every number of GPUs."""
    models = [count(config) for config in configs]
    for model in models:
        model['steps'] = [step(model, gpus) for gpus in counts]
    return {'assumed': asdict(GPU), 'models': models}


def scaling_table(results: dict[str, Any]) -> str:
    """One row for each config and number of GPUs."""
    header = ['config', 'GPUs', 'batch', 'compute ms', 'sent MB', 'network ms', 'step ms']
    header += ['images/s', 'memory GB']
    rows = [
        [
            model['config'],
            one['gpus'],
            one['batch'],
            f'{1e3 * one["compute_seconds"]:.1f}',
            f'{one["sent_bytes"] / 1e6:.0f}',
            f'{1e3 * one["network_seconds"]:.2f}',
            f'{1e3 * one["step_seconds"]:.1f}',
            f'{one["images_per_second"]:,.0f}',
            f'{one["memory_bytes"] / 1e9:.1f}',
        ]
        for model in results['models']
        for one in model['steps']
    ]
    return table(header, rows)
