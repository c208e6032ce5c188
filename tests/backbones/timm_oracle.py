"""timm's FastViT with seeded random weights: an independent implementation of every variant."""

import math

import timm
import torch
from torch import Tensor, nn


def make_timm(variant, **kwargs):
    """Return timm's model in eval mode; layer scales and norm statistics are random, too."""
    model = timm.create_model(f'fastvit_{variant}', **kwargs).eval()
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
