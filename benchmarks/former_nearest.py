"""Nearest points as they were found before: all within the largest threshold are compared."""

import numpy as np

# Points that share a window of others. So small a product OpenBLAS computes on one core: its own
# threads would only stand in the way of those that score other hands.
BLOCK = 90
OPEN_AT_ONCE = 256  # points decided in float64 together: some megabytes


def shares_within(
    first: np.ndarray, second: np.ndarray, thresholds: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the points of each set that have a point of the other set nearer than a threshold.

    Both sets are sorted along the axis in which the first extends most; points that are further
    apart along it than the largest threshold are never compared. Squared distances come from a
    float32 matrix product whose error is bounded; what that leaves open is decided in float64.
    Some hundred points are too few for trees to pay.

    Args:
        first: (N, 3, V) float64, coordinates first.
        second: (N, 3, W) float64.
        thresholds: T distances; nearer is strictly nearer.

    Returns:
        Shares of `first` and of `second`, each (N, T).
    """
    centre = first.mean(axis=2, keepdims=True)
    a, b = first - centre, second - centre
    axes = np.linalg.eigh(a @ a.swapaxes(1, 2))[1].swapaxes(1, 2)  # the longest is the last
    a, b = axes @ a, axes @ b
    orders = [points[:, 2].argsort(axis=1) for points in (a, b)]
    a, b = (
        np.take_along_axis(p, order[:, None], axis=2)
        for p, order in zip((a, b), orders, strict=True)
    )
    squares_a, squares_b = np.square(a).sum(axis=1), np.square(b).sum(axis=1)
    # |a - b|^2 as one product: (a, 1, |a|^2) . (-2 b, |b|^2, 1)
    left: np.ndarray = np.ones((len(a), 5, a.shape[2]), dtype=np.float32)
    left[:, :3], left[:, 4] = a, squares_a
    right = np.ones((len(b), 5, b.shape[2]), dtype=np.float32)
    np.multiply(b, -2, out=right[:, :3], casting='same_kind')
    right[:, 3] = squares_b
    reach = 1.001 * max(thresholds)

    nearest = [np.full(squares.shape, np.inf, np.float32) for squares in (squares_a, squares_b)]
    blocks = -(-a.shape[2] // BLOCK)
    size = -(-a.shape[2] // blocks)
    filled = np.arange(blocks * size).clip(max=a.shape[2] - 1)  # the last block repeats its last
    left = left.take(filled, axis=2).reshape(len(a), 5, blocks, size)
    ends = a[:, 2].take(filled, axis=1).reshape(len(a), blocks, size)[:, :, [0, -1]]
    ends += reach * np.array([-1, 1])
    buffer = np.empty(blocks * size * b.shape[2], dtype=np.float32)
    for i in range(len(a)):
        bounds = b[i, 2].searchsorted(ends[i])
        width = int((bounds[:, 1] - bounds[:, 0]).max())
        if width > 0:
            lows = np.minimum(bounds[:, 0], b.shape[2] - width)
            _nearest_squares(left[i], right[i], lows, width, nearest[0][i], nearest[1][i], buffer)
    return (
        _shares(nearest[0], _errors(squares_a, reach), first, second, orders[0], thresholds),
        _shares(nearest[1], _errors(squares_b, reach), second, first, orders[1], thresholds),
    )


def _nearest_squares(
    left: np.ndarray,
    right: np.ndarray,
    lows: np.ndarray,
    width: int,
    rows: np.ndarray,
    columns: np.ndarray,
    buffer: np.ndarray,
) -> None:
    """Row and column minima of the products of each block of (5, B, S) with its window of (5, W).

    Few calls that do much each: they let the threads of other hands run meanwhile.

    Args:
        left: (5, B, S).
        right: (5, W).
        lows: (B,) where each block's window begins.
        width: Of the windows.
        rows: (V,), V at most B x S; filled in.
        columns: (W,) infinity; lowered.
        buffer: At least B x S x width float32.
    """
    _, blocks, size = left.shape
    windows = right.take(lows[:, None] + np.arange(width), axis=1)
    squares = buffer[: blocks * size * width].reshape(blocks, size, width)
    np.matmul(left.transpose(1, 2, 0), windows.transpose(1, 0, 2), out=squares)
    # along rows this short, argmin takes a third of min's time
    best = squares.reshape(-1, width).argmin(axis=1)
    best += np.arange(0, squares.size, width)
    rows[:] = squares.ravel().take(best[: len(rows)])
    for low, nearest in zip(lows.tolist(), squares.min(axis=1), strict=True):
        near = columns[low : low + width]
        np.minimum(near, nearest, out=near)


def _errors(squares: np.ndarray, reach: float) -> np.ndarray:
    """Bounds of the errors of squared distances in float32, for points of these squared norms.

    Five products and their sums, of rounded inputs, are off by less than 1e-6 of |a|^2 + |b|^2; a
    point b within reach has at most the norm |a| + reach, and others cannot seem to be in reach.
    """
    return 1e-6 * (3 * squares + 2 * reach**2)


def _shares(
    nearest: np.ndarray,
    errors: np.ndarray,
    points: np.ndarray,
    others: np.ndarray,
    orders: np.ndarray,
    thresholds: tuple[float, ...],
) -> np.ndarray:
    """Shares (N, T) of the points (N, 3, V) whose nearest other point (N, 3, W) is within each.

    Args:
        nearest: (N, V) squared distances in float32, in the order `orders`.
        errors: (N, V) bounds of their errors.
        points: (N, 3, V).
        others: (N, 3, W).
        orders: (N, V) numbers of the points.
        thresholds: T distances.
    """
    shares = np.empty((len(nearest), len(thresholds)))
    for t, threshold in enumerate(thresholds):
        near = nearest < threshold**2 - errors
        is_open = near != (nearest <= threshold**2 + errors)
        open_points = np.argwhere(is_open)
        for start in range(0, len(open_points), OPEN_AT_ONCE):
            i, k = open_points[start : start + OPEN_AT_ONCE].T
            offsets = points[i, :, orders[i, k], None] - others[i]
            near[i, k] = np.sqrt(np.square(offsets).sum(axis=1).min(axis=1)) < threshold
        shares[:, t] = near.mean(axis=1)
    return shares
