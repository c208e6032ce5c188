"""The sigmoid focal loss, through mmcv's own Python wrappers.

The same tests hold the compiled operators and the stand-in to the same numbers.
"""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

import fastvit_dense  # noqa: F401  (offers mmcv._ext)

from .oracle import assert_values_and_gradients, needs_stand_in, precisions

ops = pytest.importorskip('mmcv.ops')
pytestmark = pytest.mark.integration


def plain_focal_loss(logits, target, gamma, alpha, weight=None):
    """Lin et al. 2017, equations 4 and 5, on each class's own sigmoid."""
    positive = torch.zeros_like(logits)
    for row, label in enumerate(target.tolist()):
        if 0 <= label < logits.shape[1]:
            positive[row, label] = 1
    towards = logits * (2 * positive - 1)  # p_t is its sigmoid; neither 1 - p_t nor log cancels
    alpha_t = alpha * positive + (1 - alpha) * (1 - positive)
    loss = -alpha_t * torch.sigmoid(-towards) ** gamma * nn.functional.logsigmoid(towards)
    return loss if weight is None else loss * weight[target][:, None]


@precisions(compiled_on_cpu=False)
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.75)])
def test_sigmoid_focal_loss(device, dtype, gamma, alpha):
    target = torch.tensor([0, 4, 5, 2, 1, 5, 3])  # 5 is background
    for reduction in ('none', 'sum'):
        assert_values_and_gradients(
            lambda x, how=reduction: ops.sigmoid_focal_loss(
                x, target.to(device), gamma, alpha, None, how
            ),
            lambda x, how=reduction: (
                plain_focal_loss(x, target, gamma, alpha)
                if how == 'none'
                else plain_focal_loss(x, target, gamma, alpha).sum()
            ),
            [torch.randn(7, 5) * 2],
            device,
            dtype,
        )


@needs_stand_in
def test_sigmoid_focal_loss_class_weights():
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    target, weight = torch.tensor([0, 1, 2, 3, 3, 0]), torch.tensor([0.5, 1.0, 2.0, 3.0]).double()
    actual = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, 'mean')
    expected = plain_focal_loss(logits, target, 2.0, 0.25, weight).sum() / 6
    assert actual.item() == pytest.approx(expected.item(), rel=1e-12)
    assert gradcheck(
        lambda x: ops.sigmoid_focal_loss(x, target, 2.0, 0.25, weight, 'sum'), (logits,)
    )


@needs_stand_in
def test_sigmoid_focal_loss_stays_finite_at_the_extremes():
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    for label in (0, 1, 3):
        loss = ops.sigmoid_focal_loss(logits, torch.tensor([label]), 0.5, 0.25, None, 'none')
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()
    assert loss[0, 0].item() == pytest.approx(0.75 * 200)  # a sure positive that is background


@needs_stand_in
def test_sigmoid_focal_loss_of_nothing():
    logits = torch.zeros(0, 5, requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.shape == (0, 5)
