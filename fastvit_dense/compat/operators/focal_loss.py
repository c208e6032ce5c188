"""The sigmoid focal loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import wide


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al. 2017, equation 5) of every logit.

    Args:
        input: (N, C) logits.
        target: (N,) class indices; any value outside 0..C-1 is background.
        weight: (C,) factor of each target class, or empty: none.
        output: (N, C), filled.
        gamma: Exponent that quiets easy examples.
        alpha: Weight of positives; negatives have 1 - alpha.
    """
    logits, positive, factor = _focal_loss_terms(input, target, weight)
    loss_positive = -alpha * torch.sigmoid(-logits) ** gamma * F.logsigmoid(logits)
    loss_negative = -(1 - alpha) * torch.sigmoid(logits) ** gamma * F.logsigmoid(-logits)
    output.copy_(torch.where(positive, loss_positive, loss_negative) * factor)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of every value of `sigmoid_focal_loss_forward` by its own logit."""
    logits, positive, factor = _focal_loss_terms(input, target, weight)
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    slope_positive = -alpha * q**gamma * (q - gamma * p * F.logsigmoid(logits))
    slope_negative = (1 - alpha) * p**gamma * (p - gamma * q * F.logsigmoid(-logits))
    grad_input.copy_(torch.where(positive, slope_positive, slope_negative) * factor)


def _focal_loss_terms(
    input: Tensor, target: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor | float]:
    classes = torch.arange(input.shape[1], device=input.device)
    factor = wide(weight)[target][:, None] if weight.numel() else 1.0
    return wide(input), target[:, None] == classes, factor
