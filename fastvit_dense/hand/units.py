"""The size of hands: metres, or something else?"""

import numpy as np

from ..errors import DataError

# Root mean square distance of a hand's joints from their mean, metres: an open hand of 18 cm has
# 0.055, a fist 0.04.
HAND_SIZE = 0.05


def hand_size(points: np.ndarray) -> float:
    """Median root mean square distance of the points (N, V, 3) of hands from their mean.

    The unit is that of the points. 0 for no hands.
    """
    if not len(points):
        return 0.0
    centred = points - points.mean(1, keepdims=True)
    return float(np.median(np.sqrt((centred**2).sum(-1).mean(-1))))


def thousandfold(found: float, expected: float) -> float | None:
    """Ratio of two sizes where one of them must be in a unit a thousand times as large.

    None where the ratio is not between 300 and 3000 in either direction.
    """
    if not found or not expected:
        return None
    ratio = found / expected
    return ratio if 300 <= max(ratio, 1 / ratio) <= 3000 else None


def check_unit(joints: np.ndarray, source: str, reference: np.ndarray | None = None) -> None:
    """Refuse hands that are a thousand times too large or too small.

    Args:
        joints: (N, 21, 3), meant to be metres.
        source: What holds them, for the message.
        reference: True joints (M, 21, 3) in metres to compare the size with; otherwise the size
            of a common hand.

    Raises:
        DataError: The sizes differ by a factor of 300 to 3000. All-zero hands pass.
    """
    expected = hand_size(reference) if reference is not None else HAND_SIZE
    found = hand_size(joints)
    ratio = thousandfold(found, expected)
    if ratio is not None:
        unit = 'millimetres' if ratio > 1 else 'kilometres'
        raise DataError(
            f'{source}: expected joints in metres (hands of size {expected:.3g}), found '
            f'{found:.3g}: {unit}?'
        )
