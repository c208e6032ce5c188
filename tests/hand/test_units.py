"""Hands a thousand times too large or too small are refused; others pass."""

import numpy as np
import pytest

from fastvit_dense.errors import DataError
from fastvit_dense.hand.units import check_unit, hand_size, unit_of
from tests.facts import raises_naming


def make_joints():
    place = np.array([0.01, -0.02, 0.7])
    return np.random.default_rng(0).normal(0, 0.04, (4, 21, 3)) + place


@pytest.mark.parametrize(('factor', 'unit'), [(1000, 'millimetres'), (0.001, 'kilometres')])
def test_the_unit_is_named(factor, unit):
    joints = make_joints()
    for reference in (None, joints):
        with raises_naming(DataError, 'these', 'metres', unit):
            check_unit(factor * joints, 'these', reference)


@pytest.mark.parametrize(
    ('ratio', 'refused'),
    [(0, False), (1, False), (299, False), (301, True), (2999, True), (3001, False), (1e-4, False)],
)
def test_sizes_at_which_the_unit_is_doubted(ratio, refused):
    joints = make_joints()
    if refused:
        with raises_naming(DataError, 'these', 'metres', 'millimetres'):
            check_unit(ratio * joints, 'these', joints)
    else:
        check_unit(ratio * joints, 'these', joints)


def test_size_of_a_hand():
    corners = np.array([[x, y, z] for x in (0, 2) for y in (0, 2) for z in (0, 2)], float)
    assert hand_size(corners[None] + 5) == pytest.approx(np.sqrt(3))
    assert hand_size(np.zeros((0, 21, 3))) == 0


@pytest.mark.parametrize(
    ('per_metre', 'words'),
    [(1000, 'millimetres'), (100, 'centimetres'), (39.37, 'inches'), (10, 'decimetres')],
)
def test_units_in_both_directions(per_metre, words):
    """Of hands between a child's fist and a large open hand, beside the common size."""
    for size in (0.038, 0.05, 0.062):
        name, ratio = unit_of(size * per_metre, 0.05)
        assert (name, ratio) == (words, pytest.approx(per_metre, rel=1e-4))
        name, ratio = unit_of(size / per_metre, 0.05)
        assert ratio == pytest.approx(1 / per_metre, rel=1e-4)
        assert name == 'kilometres' or words in name
        assert unit_of(size, 0.05) is None


def test_sizes_that_no_unit_explains():
    assert unit_of(0, 0.05) is None
    assert unit_of(0.05, 0) is None
    assert unit_of(500, 0.05) is None
