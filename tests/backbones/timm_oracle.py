"""timm's networks with seeded random weights: independent implementations of every variant."""

import math

import timm
import torch
from torch import Tensor, nn


def make_timm(variant, **kwargs):
    """Return timm's model in eval mode; layer scales and norm statistics are random, too."""
    return fill(timm.create_model(f'fastvit_{variant}', **kwargs).eval())


def timm_mobilevit(arch, filled=True, **kwargs):
    """Return timm's MobileViT, or its MobileViTv2 where the variant is a width, in eval mode."""
    first = arch.startswith(('x', 's'))
    name = f'mobilevit_{arch}' if first else f'mobilevitv2_{round(100 * float(arch)):03}'
    model = timm.create_model(name, **kwargs).eval()
    return fill(model) if filled else model


def fill(model):
    """Give all tensors of a network seeded random values; return the network."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith('num_batches_tracked'):
                tensor.zero_()
            elif name.endswith('gamma'):
                tensor.uniform_(0.1, 0.3, generator=generator)
            elif name.endswith('running_var'):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.dim() == 1 and name.endswith('weight'):  # larger ones amplify rounding
                tensor.uniform_(0.3, 1.1, generator=generator)
            elif tensor.dim() == 1:
                tensor.normal_(0, 0.1, generator=generator)
            else:
                fan_in = math.prod(tensor.shape[1:])
                gain = 2 if tensor.shape[1] > 1 else 1
                tensor.normal_(0, math.sqrt(gain / fan_in), generator=generator)
    return model


def stage_outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the outputs of all stages of timm's classifier."""
    indices = list(range(len(model.stages)))
    with torch.no_grad():
        return model.forward_intermediates(images, indices=indices, intermediates_only=True)


def mobilevit_outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the true ends of all stages of timm's MobileViT.

    `forward_intermediates` would give the classifier's 1x1 expansion in place of the last.
    """
    outputs = []
    with torch.no_grad():
        x = model.stem(images)
        for stage in model.stages:
            x = stage(x)
            outputs.append(x)
    return outputs
