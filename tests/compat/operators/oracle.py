"""Devices, precisions and comparisons of the tests of all operators."""

import importlib

import pytest
import torch

from fastvit_dense.compat import openmmlab

needs_stand_in = pytest.mark.skipif(
    not openmmlab.uses_stand_in(), reason='mmcv has its own compiled operators here'
)


def precisions(compiled_on_cpu=True):
    """Devices and types; what only the stand-in does is skipped with mmcv's compiled operators."""
    cases = []
    for device in ('cpu', 'cuda'):
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            compiled = compiled_on_cpu or device == 'cuda'
            if dtype == torch.bfloat16 or (dtype == torch.float16 and device == 'cpu'):
                compiled = False
            marks = [] if compiled else [needs_stand_in]
            marks += [pytest.mark.gpu] if device == 'cuda' else []
            cases.append(pytest.param(device, dtype, marks=marks))
    return pytest.mark.parametrize(('device', 'dtype'), cases)


all_precisions = precisions()


def assert_values_and_gradients(operator, reference, inputs, device, dtype, factor=8):
    """The operator in `dtype` equals the reference in float64, as do all gradients.

    The reference gets the inputs as `dtype` rounds them. Errors are measured against the largest
    value, in `factor` times the rounding unit: results, intermediate weights and gradients round.
    """
    low = [t.to(device, dtype).requires_grad_() for t in inputs]
    high = [t.detach().cpu().double().requires_grad_() for t in low]
    output, expected = operator(*low), reference(*high)
    assert output.dtype == dtype
    assert output.shape == expected.shape
    gradient = torch.randn_like(output)
    output.backward(gradient)
    expected.backward(gradient.cpu().double())
    pairs = [('output', output, expected)]
    pairs += [
        (f'gradient {i}', a.grad, b.grad) for i, (a, b) in enumerate(zip(low, high, strict=True))
    ]
    for name, actual, wanted in pairs:
        tolerance = factor * torch.finfo(dtype).eps * max(1.0, wanted.abs().max().item())
        error = (actual.detach().cpu().double() - wanted.detach()).abs().max().item()
        assert error <= tolerance, (name, error, tolerance)


def onnx_vectors(module, operator, case):
    """Attributes, inputs and outputs of one of ONNX's published operator tests."""
    node_cases = importlib.import_module(f'onnx.backend.test.case.node.{module}')
    found = []

    def expect(node, inputs, outputs, name, **_):
        attributes = {a.name: a for a in node.attribute}
        found.append((attributes, inputs, outputs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_cases, 'expect', expect)
        getattr(getattr(node_cases, operator), case)()
    return found


def bilinear(image, y, x):
    """Value of image (C, H, W) at real coordinates (y, x); cells outside count as zero."""
    y_low, x_low = torch.floor(y.detach()).long().item(), torch.floor(x.detach()).long().item()
    value = torch.zeros_like(image[:, 0, 0])
    for row in (y_low, y_low + 1):
        for column in (x_low, x_low + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                weight = (1 - (y - row).abs()) * (1 - (x - column).abs())
                value = value + weight * image[:, row, column]
    return value
