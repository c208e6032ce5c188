"""All operators together, through mmcv's own Python wrappers.

The same tests hold the compiled operators and the stand-in to the same numbers.
"""

import inspect
import re
from pathlib import Path

import pytest
import torch

import fastvit_dense  # noqa: F401  (offers mmcv._ext)
from fastvit_dense.compat import operators as torchvision_ops
from fastvit_dense.errors import OperatorError

from ...facts import raises_naming
from .oracle import needs_stand_in

ops = pytest.importorskip('mmcv.ops')
pytestmark = pytest.mark.integration


@needs_stand_in
def test_other_operators_name_themselves_and_the_way_out():
    with raises_naming(OperatorError, 'carafe_forward', 'pip install --no-build-isolation'):
        ops.carafe(torch.randn(1, 4, 4, 4), torch.randn(1, 9, 8, 8), 3, 1, 2)


def test_operators_have_the_parameters_of_the_compiled_ones():
    """Number, order and names as in the bindings that mmcv ships in source."""
    bindings = Path(ops.__file__).parent / 'csrc' / 'pytorch' / 'pybind.cpp'
    if not bindings.is_file():
        pytest.skip('this mmcv ships no C++ sources')
    source = bindings.read_text()
    for name, function in torchvision_ops.OPERATORS.items():
        (definition,) = re.findall(rf'm\.def\("{name}",(.*?);', source, re.DOTALL)
        compiled = [simple(n) for n in re.findall(r'py::arg\("(\w+)"\)', definition)]
        assert [simple(n) for n in inspect.signature(function).parameters] == compiled, name


def simple(name):
    return name.replace('_', '').lower()
