"""How many points of one set lie near another set: exact decisions at float32 speed."""

import numpy as np

BLOCK = 128  # rows of distances at a time: what fits a core's cache


def shares_within(
    first: np.ndarray, second: np.ndarray, thresholds: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the points of each set that have a point of the other set nearer than a threshold.

    Squared distances come from a float32 matrix product whose error is bounded; what that leaves
    open is decided in float64. Some hundred points are too few for trees to pay: this takes half
    the time of SciPy's.

    Args:
        first: (N, V, 3) float64.
        second: (N, W, 3) float64.
        thresholds: T distances; nearer is strictly nearer.

    Returns:
        Shares of ``first`` and of ``second``, each (N, T).
    """
    centre = first.mean(axis=1, keepdims=True)
    a, b = first - centre, second - centre
    squares_a, squares_b = np.square(a).sum(axis=2), np.square(b).sum(axis=2)
    # |a - b|^2 as one product: (a, 1, |a|^2) . (-2 b, |b|^2, 1)
    left = np.ones((*squares_a.shape, 5), dtype=np.float32)
    left[:, :, :3], left[:, :, 4] = a, squares_a
    right = np.ones((len(b), 5, b.shape[1]), dtype=np.float32)
    right[:, :3], right[:, 3] = -2 * b.swapaxes(1, 2), squares_b
    # five products and sums in float32, of inputs that are rounded too
    errors = 1e-6 * (squares_a.max(axis=1) + squares_b.max(axis=1))

    buffer = np.empty((BLOCK, right.shape[2]), dtype=np.float32)
    shares = np.empty((2, len(first), len(thresholds)))
    for i, error in enumerate(errors):
        nearest = _nearest_squares(left[i], right[i], buffer)
        for side, (points, others) in enumerate(((first[i], second[i]), (second[i], first[i]))):
            for t, threshold in enumerate(thresholds):
                near = nearest[side] < threshold**2 - error
                undecided = near != ~(nearest[side] > threshold**2 + error)
                if undecided.any():
                    near[undecided] = _nearest(points[undecided], others) < threshold
                shares[side, i, t] = np.count_nonzero(near) / len(near)
    return shares[0], shares[1]


def _nearest_squares(
    left: np.ndarray, right: np.ndarray, buffer: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column minima of the product of (V, 5) and (5, W), in float32."""
    rows = np.empty(left.shape[0], dtype=np.float32)
    columns = np.full(right.shape[1], np.inf, dtype=np.float32)
    for start in range(0, len(left), BLOCK):
        part = left[start : start + BLOCK]
        squares = np.matmul(part, right, out=buffer[: len(part)])
        squares.min(axis=1, out=rows[start : start + BLOCK])
        np.minimum(columns, squares.min(axis=0), out=columns)
    return rows, columns


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each point (V, 3) to the nearest of the others (W, 3), in float64."""
    return np.sqrt(np.square(points[:, None] - others).sum(axis=2).min(axis=1))
