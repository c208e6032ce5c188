"""Counts of the points of one set that lie near another: exact decisions at float32 speed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Points that share a window of others. So small a product OpenBLAS computes on one core: its own
# threads would only stand in the way of those that score other hands.
BLOCK = 40
OPEN_AT_ONCE = 256  # points decided in float64 together: some megabytes


@dataclass
class Points:
    """N point sets, each sorted along one axis, ready to be compared with others.

    Attributes:
        given: (N, 3, V) float64, as they were given.
        orders: (N, V) numbers of the points in the order of `heights`.
        heights: (N, V) float64, ascending, along the axis.
        squares: (N, V) float32 squared distances from the centre.
        factors: (N, 5, V) float32, see `_sorted`.
    """

    given: np.ndarray
    orders: np.ndarray
    heights: np.ndarray
    squares: np.ndarray
    factors: np.ndarray


@np.errstate(over='ignore', invalid='ignore')  # what is infinitely far is not near
def shares_within(
    first: np.ndarray, others: Sequence[np.ndarray], thresholds: Sequence[float]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Share of the points of each set that have a point of another set nearer than a threshold.

    The sets are sorted along the axis in which the first extends most, and points that are further
    apart along it than the smallest threshold are not compared: what is found there decides of the
    smallest threshold, and of the others mostly. So does the point of the same number, where the
    sets are of one size. The rest are compared with all points. Squared distances come from a
    float32 matrix product whose error is bounded; what that leaves open is decided in float64.
    Some hundred points are too few for trees to pay.

    Args:
        first: (N, 3, V) float64, coordinates first.
        others: Point sets (N, 3, W), float64, each compared with the first.
        thresholds: T distances, ascending; nearer is strictly nearer.

    Returns:
        For each of `others` the shares of `first` and its own, (N, T) both.
    """
    centre = first.mean(axis=2, keepdims=True)
    centred = first - centre
    # the longest axis is the last
    axes = np.linalg.eigh(centred @ centred.swapaxes(1, 2))[1].swapaxes(1, 2)
    left = _sorted(first, axes @ centred, 1.0)
    found = []
    for other in others:
        right = _sorted(other, axes @ (other - centre), -2.0)
        rows, columns = _search_windows(left, right, 1.001 * thresholds[0])
        if first.shape == other.shape:
            known = np.square(first - other).sum(axis=1).astype(np.float32)
            np.minimum(rows, np.take_along_axis(known, left.orders, axis=1), out=rows)
            np.minimum(columns, np.take_along_axis(known, right.orders, axis=1), out=columns)
        shares = (
            _shares(left, right, rows, thresholds),
            _shares(right, left, columns, thresholds),
        )
        found.append(shares)
    return found


def _sorted(given: np.ndarray, turned: np.ndarray, factor: float) -> Points:
    """Sort points `given` (N, 3, V) by the last coordinate of `turned`, the same about the centre.

    The product of the factors of two sets is |a - b|^2: (a, |a|^2, 1) . (-2 b, 1, |b|^2).
    """
    orders = turned[:, 2].argsort(axis=1)
    factors: np.ndarray = np.ones((len(given), 5, given.shape[2]), dtype=np.float32)
    np.multiply(turned, factor, out=factors[:, :3], casting='same_kind')
    squares = factors[:, 3 if factor == 1 else 4]
    np.square(turned).sum(axis=1, out=squares)
    for of_one, order in zip(factors, orders, strict=True):
        of_one[:] = of_one.take(order, axis=1)
    heights = np.take_along_axis(turned[:, 2], orders, axis=1)
    return Points(given, orders, heights, squares, factors)


def _search_windows(left: Points, right: Points, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances to the nearest point of the other set that is in reach along the axis.

    Blocks of the left points are compared with all the right ones that any of them may reach. A
    hand takes few calls that do much each: they let the threads of other hands run meanwhile.

    Returns:
        (N, V) of the left points, (N, W) of the right ones; infinity where none is in reach.
    """
    count, points = left.heights.shape
    blocks = -(-points // BLOCK)
    size = -(-points // blocks)
    filled = np.arange(blocks * size).clip(max=points - 1)  # the last block repeats its last
    factors = left.factors.take(filled, axis=2).reshape(count, 5, blocks, size)
    ends = left.heights[:, filled].reshape(count, blocks, size)[:, :, [0, -1]]
    lows, highs = _places(right.heights, ends + reach * np.array([-1, 1]))
    widths = (highs - lows).max(axis=1)
    lows = np.minimum(lows, right.heights.shape[1] - widths[:, None])[:, :, None]
    steps = np.arange(right.heights.shape[1])

    rows: np.ndarray = np.full((count, size, blocks), np.inf, dtype=np.float32)
    columns: np.ndarray = np.full(right.heights.shape, np.inf, dtype=np.float32)
    buffer = np.empty(size * blocks * int(widths.max()), dtype=np.float32)
    for i, width in enumerate(widths.tolist()):
        if not width:
            continue
        windows = lows[i] + steps[:width]
        # the points of a block first, so that minima over them run along long rows
        squares = buffer[: size * blocks * width].reshape(size, blocks, width)
        others = right.factors[i].take(windows, axis=1).transpose(1, 0, 2)
        np.matmul(factors[i].transpose(1, 2, 0), others, out=squares.transpose(1, 0, 2))
        # along rows this short, argmin takes a third of min's time
        best = squares.reshape(-1, width).argmin(axis=1)
        best += np.arange(0, squares.size, width)
        squares.take(best, out=rows[i].reshape(-1))
        np.minimum.at(columns[i], windows.ravel(), squares.reshape(size, -1).min(axis=0))
    return rows.swapaxes(1, 2).reshape(count, -1)[:, :points], columns


def _places(heights: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the ends (N, B, 2) among the sorted heights (N, V), each (N, B)."""
    # what lies beyond all ends of its set may lie anywhere there: one wild hand must not take the
    # digits of all others
    heights = heights.clip(*(f(axis=(1, 2))[:, None] for f in (ends.min, ends.max)))
    # all sets in one search, each beyond the one before
    lowest = min(float(heights.min()), float(ends.min()))
    step = max(float(heights.max()), float(ends.max())) - lowest + 1.0
    shifts = np.arange(len(heights))[:, None] * step - lowest
    places = (heights + shifts).ravel().searchsorted((ends + shifts[:, :, None]).ravel())
    places = places.reshape(ends.shape) - heights.shape[1] * np.arange(len(heights))[:, None, None]
    return places[:, :, 0], places[:, :, 1]


def _errors(squares: np.ndarray, reach: float) -> np.ndarray:
    """Bounds of the errors of squared distances in float32, for points of these squared norms.

    Five products and their sums, of rounded inputs, are off by less than 1e-6 of |a|^2 + |b|^2; a
    point b within reach has at most the norm |a| + reach, and others cannot seem to be in reach.
    """
    return 1e-6 * (3 * squares + 2 * reach**2)


def _search_all(points: Points, others: Points, nearest: np.ndarray, wanted: np.ndarray) -> None:
    """Put squared distances to the nearest of all others where `wanted` (N, V) tells so."""
    for i in np.flatnonzero(wanted.any(axis=1)).tolist():
        chosen = np.flatnonzero(wanted[i])
        squares = points.factors[i].take(chosen, axis=1).T @ others.factors[i]
        best = squares.argmin(axis=1)
        best += np.arange(0, squares.size, squares.shape[1])
        nearest[i, chosen] = squares.take(best)


def _shares(
    points: Points, others: Points, nearest: np.ndarray, thresholds: Sequence[float]
) -> np.ndarray:
    """Shares (N, T) of the points whose nearest other point is within each threshold.

    Args:
        points: N sets.
        others: The sets that they are compared with.
        nearest: (N, V) squared distances in float32, in the order of the points, to an other
            point: to the nearest, where that is within the smallest threshold.
        thresholds: T distances, ascending.
    """
    errors = _errors(points.squares, thresholds[-1])
    if len(thresholds) > 1:
        _search_all(points, others, nearest, nearest >= thresholds[1] ** 2 - errors)
    shares = np.empty((len(nearest), len(thresholds)))
    for t, threshold in enumerate(thresholds):
        near = nearest < threshold**2 - errors
        is_open = near != (nearest <= threshold**2 + errors)
        open_points = np.argwhere(is_open)
        for start in range(0, len(open_points), OPEN_AT_ONCE):
            i, k = open_points[start : start + OPEN_AT_ONCE].T
            offsets = points.given[i, :, points.orders[i, k], None] - others.given[i]
            near[i, k] = np.sqrt(np.square(offsets).sum(axis=1).min(axis=1)) < threshold
        shares[:, t] = near.mean(axis=1)
    return shares
