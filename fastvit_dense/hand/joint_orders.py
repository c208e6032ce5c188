"""Orders of a hand's 21 joints other than FreiHAND's, and how to find the one that was used."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from .mano import FREIHAND_ORDER

# Places of FreiHAND's joints in other orders
ORDERS = {
    FREIHAND_ORDER: "MANO's order (its 16 joints, then the fingertips)",
    (0, *(4 * f + k for f in range(5) for k in (4, 3, 2, 1))): 'fingers from the tip to the palm',
}


def find_order(expected: np.ndarray, given: np.ndarray, far: float) -> tuple[int, ...] | None:
    """Find the places of FreiHAND's joints among those given.

    Args:
        expected: (N, 21, 3) about where the joints must be, in FreiHAND's order.
        given: (N, 21, 3) joints in an unknown order.
        far: A mean distance from which on a joint must be another one.

    Returns:
        The places; None where the joints stand in FreiHAND's order, or no order explains them.
    """
    apart = np.median(np.linalg.norm(expected[:, :, None] - given[:, None], axis=-1), axis=0)
    rows, places = linear_sum_assignment(apart)
    moved = rows != places
    if not moved.any():
        return None
    before, after = apart[rows, rows][moved].mean(), apart[rows, places][moved].mean()
    return tuple(places.tolist()) if before > far and after < before / 2 else None
