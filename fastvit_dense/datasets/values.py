"""Tests of values that come from files: JSON's true and false are no numbers."""

import math
from numbers import Integral, Real
from typing import TypeGuard


def is_integer(value: object) -> bool:
    """Tell whether a value is a whole number of at most 64 bits, Python's or NumPy's."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    return is_whole and -(2**63) <= int(value) < 2**63  # type: ignore[call-overload]


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a finite real number, Python's or NumPy's."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def is_box(value: object) -> bool:
    """Tell whether a value is a list of four finite numbers."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))
