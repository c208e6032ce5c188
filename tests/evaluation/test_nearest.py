"""Shares of near points against SciPy's trees."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from fastvit_dense.evaluation.nearest import shares_within


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
