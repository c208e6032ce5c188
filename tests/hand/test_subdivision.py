"""Catmull-Clark subdivision, worked out by hand."""

import numpy as np

from fastvit_dense.hand.subdivision import subdivide, triangulate


def test_subdivision_of_a_cube():
    """Catmull and Clark's rules on the unit cube, worked out by hand."""
    points = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    faces = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    operator, quads, edge_point = subdivide(faces, 8)
    new = operator @ points
    assert new.shape == (26, 3)
    assert quads.shape == (24, 4)
    np.testing.assert_allclose(operator.sum(1), 1)
    # corner: (F + 2 R) / 3 with F = 1/3 (mean of three face points), R = 1/6 (of three edges)
    np.testing.assert_allclose(new[0], np.full(3, (1 / 3 + 2 / 6) / 3), atol=1e-12)
    np.testing.assert_allclose(new[edge_point[0, 1]], [0.125, 0.125, 0.5])
    np.testing.assert_allclose(new[-6], [0, 0.5, 0.5])
    operator, triangles = triangulate(operator, quads, points, 30)
    assert operator.shape == (30, 8)
    assert len(triangles) == 2 * 24 + 2 * 4  # closed: F = 2 V - 4
