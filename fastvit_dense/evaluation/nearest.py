"""How many points of one set lie near another set: exact decisions at float32 speed."""

import numpy as np

BLOCK = 98


def shares_within(
    first: np.ndarray, second: np.ndarray, thresholds: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the points of each set that have a point of the other set nearer than a threshold.

    Squared distances come from a float32 matrix product whose error is bounded; whatever that
    leaves open is decided in float64. Along the longest axis of the first set, points further
    apart than the largest threshold are never compared.

    Args:
        first: (N, V, 3) float64.
        second: (N, W, 3) float64.
        thresholds: T distances; nearer is strictly nearer.

    Returns:
        Shares of ``first`` and of ``second``, each (N, T).
    """
    centre = first.mean(axis=1, keepdims=True)
    first, second = first - centre, second - centre
    _, axes = np.linalg.eigh(first.swapaxes(1, 2) @ first)
    axis = axes[:, :, 2:]
    first, along_first = _sorted_along(first, axis)
    second, along_second = _sorted_along(second, axis)
    squares_first = np.square(first).sum(axis=2)
    squares_second = np.square(second).sum(axis=2)
    # |a - b|^2 as one product: (a, 1, |a|^2) . (-2 b, |b|^2, 1)
    ones_first, ones_second = np.ones_like(squares_first), np.ones_like(squares_second)
    left = np.dstack([first, ones_first, squares_first]).astype(np.float32)
    right = np.dstack([-2 * second, squares_second, ones_second]).astype(np.float32)
    right = np.ascontiguousarray(right.swapaxes(1, 2))
    errors = 1e-6 * (squares_first.max(axis=1) + squares_second.max(axis=1))

    shares = np.empty((2, len(first), len(thresholds)))
    for i in range(len(first)):
        rows, columns = _nearest_squares(
            left[i], right[i], along_first[i], along_second[i], max(thresholds)
        )
        for t, threshold in enumerate(thresholds):
            for k, (squares, points, others) in enumerate(
                ((rows, first[i], second[i]), (columns, second[i], first[i]))
            ):
                near = squares < threshold**2 - errors[i]
                open_ = ~(near | (squares > threshold**2 + errors[i]))
                if open_.any():
                    near[open_] = _nearest(points[open_], others) < threshold
                shares[k, i, t] = np.count_nonzero(near) / len(points)
    return shares[0], shares[1]


def _sorted_along(points: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, V, 3) in the order of their projections on the axes (N, 3, 1), and these."""
    along = (points @ axis)[:, :, 0]
    order = np.argsort(along, axis=1)
    ordered = np.take_along_axis(points, order[:, :, None], axis=1)
    return ordered, np.take_along_axis(along, order, axis=1)


def _nearest_squares(
    left: np.ndarray,
    right: np.ndarray,
    along_first: np.ndarray,
    along_second: np.ndarray,
    reach: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances to the nearest point of the other set, infinite beyond the reach."""
    rows = np.full(len(left), np.inf, dtype=np.float32)
    columns = np.full(right.shape[1], np.inf, dtype=np.float32)
    starts = range(0, len(left), BLOCK)
    low = np.searchsorted(along_second, along_first[::BLOCK] - reach)
    ends = along_first[[min(s + BLOCK, len(left)) - 1 for s in starts]]
    high = np.searchsorted(along_second, ends + reach, side='right')
    for start, begin, end in zip(starts, low, high, strict=True):
        if begin < end:
            squares = left[start : start + BLOCK] @ right[:, begin:end]
            rows[start : start + BLOCK] = squares.min(axis=1)
            near = columns[begin:end]
            np.minimum(near, squares.min(axis=0), out=near)
    return rows, columns


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each point (V, 3) to the nearest of the others (W, 3), in float64."""
    return np.sqrt(np.square(points[:, None] - others).sum(axis=2).min(axis=1))
