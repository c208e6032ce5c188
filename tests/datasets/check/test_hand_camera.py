"""Cameras of hands whose focal lengths are of other pictures, or in another unit."""

import numpy as np
import pytest

from fastvit_dense.datasets.check.findings import DatasetReport
from fastvit_dense.datasets.check.hand_camera import check_cameras, field_of_view
from fastvit_dense.datasets.sample.hands import sample_hands
from tests.facts import assert_names


@pytest.fixture(scope='module')
def hands():
    return sample_hands(24, np.random.default_rng(3))


def check(hands, K, size=(224, 224), places=None):
    report = DatasetReport(['train'])
    count = len(K)
    sizes = np.tile(np.array(size, float), (count, 1))
    check_cameras(hands.xyz, K, sizes, np.arange(count), 'training', report, places)
    return list(report.findings)


def with_focal(K, factor):
    K = K.copy()
    K[:, [0, 1], [0, 1]] *= factor
    return K


def test_field_of_view():
    K = np.array([[[112, 0, 112], [0, 56, 56], [0, 0, 1]]], float)
    assert field_of_view(K, np.array([[224.0, 112.0]])) == pytest.approx(90)
    assert field_of_view(2 * K, np.array([[224.0, 448.0]])) == pytest.approx(126.87, abs=0.01)


@pytest.mark.parametrize('factor', [0.6, 0.9, 1, 1.1, 1.3])
def test_sound_cameras(hands, factor):
    """Hands a little nearer or farther than their numbers say, and pictures made larger."""
    assert check(hands, with_focal(hands.K, factor)) == []
    assert check(hands, with_focal(hands.K, max(factor, 0.8)), places=hands.mano[:, 58:]) == []
    larger = hands.K * np.array([3, 3, 1])[:, None]
    assert check(hands, with_focal(larger, factor), (672, 672)) == []
    assert check(hands, larger, (672, 672), hands.mano[:, 58:]) == []


@pytest.mark.parametrize('factor', [0.05, 0.1, 0.2, 0.5, 2])
def test_focal_lengths_that_the_numbers_contradict(hands, factor):
    (finding,) = check(hands, with_focal(hands.K, factor), places=hands.mano[:, 58:])
    assert (finding.severity, finding.kind) == ('error', 'camera')
    expected = f'{np.median((hands.K[:, 0, 0] + hands.K[:, 1, 1]) / 2):.4g} pixels'
    assert_names(finding.message, expected, f'Multiply K[0][0] and K[1][1] by {1 / factor:.3g}')


def test_numbers_without_a_scale_say_nothing(hands):
    for value in (0, 1, np.nan):
        assert check(hands, hands.K, places=np.full((24, 3), value, float)) == []


@pytest.mark.parametrize(
    ('factor', 'severity'), [(1 / 20, 'error'), (1 / 10, 'error'), (1 / 5, 'warning')]
)
def test_focal_lengths_without_numbers(hands, factor, severity):
    (finding,) = check(hands, with_focal(hands.K, factor))
    assert (finding.severity, finding.kind) == (severity, 'camera')
    assert_names(finding.message, 'field of view', 'degrees', 'in another unit')


def test_a_wide_lens_near_the_hand(hands):
    """100 degrees, hands of a third of the picture: as a head-mounted camera has them."""
    near = type(hands)(hands.K, hands.xyz - [0, 0, 0.38], hands.verts, hands.mano, hands.scale)
    assert check(near, with_focal(hands.K, 0.2)) == []
