"""Shares of near points against SciPy's trees."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from fastvit_dense.evaluation.nearest import shares_within


def brute_force(a, b, threshold):
    """Shares of the points of two sets (V, 3) and (W, 3), all pairs compared in float64."""
    near = np.sqrt(np.square(a[:, None] - b[None]).sum(axis=2)) < threshold
    return near.any(axis=1).mean(), near.any(axis=0).mean()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 200),
    st.sampled_from(['near', 'far', 'lattice', 'flat', 'one point', 'another planet']),
)
def test_every_decision_is_that_of_all_pairs(seed, count, kind):
    """Errors of a good and of a bad model, distances equal to a threshold, odd shapes."""
    random = np.random.default_rng(seed)
    a = random.normal(0, 1, (4, count, 3)) * [0.03, 0.045, 0.015] + random.normal(0, 1, (4, 1, 3))
    b = a + random.normal(0, 0.03 if kind == 'far' else 0.006, a.shape)
    if kind == 'lattice':  # many distances are the thresholds, up to rounding
        a, b = (random.integers(0, 12, a.shape) * 0.005 + 0.1 for _ in range(2))
    elif kind == 'flat':
        a[..., 2] = b[..., 2] = 0.5
    elif kind == 'one point':
        a[:] = b[:] = 0.7
    elif kind == 'another planet':
        b[0] *= 1e30
        a[1] *= 1e6
        b[1] = a[1]
    [found] = shares_within(a.swapaxes(1, 2), [b.swapaxes(1, 2)], (0.005, 0.015))
    for i in range(4):
        for t, threshold in enumerate((0.005, 0.015)):
            assert (found[0][i, t], found[1][i, t]) == brute_force(a[i], b[i], threshold)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([0.003, 0.03, 0.3]),
    st.sampled_from([0.0, 0.01, 0.7, 50.0]),
)
def test_shares_of_near_points_equal_trees(seed, first, second, spread, distance):
    random = np.random.default_rng(seed)
    a = random.normal(0, spread, (3, first, 3))
    b = random.normal(0, spread, (3, second, 3)) + distance
    b[:, 0] = a[:, 0] + [0.005, 0, 0]  # on a threshold, up to rounding
    [shares] = shares_within(a.swapaxes(1, 2), [b.swapaxes(1, 2)], (0.005, 0.015))
    for i in range(3):
        there, back = cKDTree(b[i]).query(a[i])[0], cKDTree(a[i]).query(b[i])[0]
        assert shares[0][i].tolist() == [(there < t).mean() for t in (0.005, 0.015)]
        assert shares[1][i].tolist() == [(back < t).mean() for t in (0.005, 0.015)]
