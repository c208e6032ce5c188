"""Random BatchNorm statistics and layer scales, so that a wrong fold cannot hide behind zeros."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def randomise(model, seed=0):
    """Fill norms and layer scales of ``model`` with seeded random values; return the model."""
    generator = torch.Generator().manual_seed(seed)
    uniform = lambda tensor, low, high: tensor.uniform_(low, high, generator=generator)
    with torch.no_grad():
        for module in model.modules():
            affine = isinstance(module, _BatchNorm | nn.LayerNorm) and module.weight is not None
            if affine:
                uniform(module.weight, 0.5, 1.5)
                module.bias.normal_(0, 0.1, generator=generator)
            if isinstance(module, _BatchNorm):
                uniform(module.running_var, 0.5, 1.5)
                module.running_mean.normal_(0, 0.1, generator=generator)
        for name, parameter in model.named_parameters():
            if 'layer_scale' in name:
                uniform(parameter, 0.1, 0.3)
    return model


def relative_error(got, expected):
    """Return the largest deviation relative to the rms of ``expected``."""
    assert got.shape == expected.shape
    difference = (got.double() - expected.double()).abs().max()
    return (difference / expected.double().square().mean().sqrt()).item()
