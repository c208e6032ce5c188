"""The size of hands: metres, or something else?"""

import numpy as np

from ..errors import DataError

# Root mean square distance of a hand's joints from their mean, metres: an open hand of 18 cm has
# 0.055, a fist 0.04.
HAND_SIZE = 0.05


def hand_size(joints: np.ndarray) -> float:
    """Median root mean square distance of joints (N, 21, 3) from their mean; not-a-number: none.

    The unit is that of `joints`. 0 for no hands.
    """
    if not len(joints):
        return 0.0
    centred = joints - joints.mean(1, keepdims=True)
    return float(np.median(np.sqrt((centred**2).sum(-1).mean(-1))))


def check_unit(joints: np.ndarray, source: str, reference: np.ndarray | None = None) -> None:
    """Refuses hands that are a thousand times too large or too small.

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
    if not expected:
        return
    smaller = expected / found if found else 0.0
    for ratio, unit in ((found / expected, 'millimetres'), (smaller, 'kilometres')):
        if 300 <= ratio <= 3000:
            raise DataError(
                f'{source}: expected joints in metres (hands of size {expected:.3g}), found '
                f'{found:.3g}: {unit}?'
            )
