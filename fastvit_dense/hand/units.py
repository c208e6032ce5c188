"""The size of hands: metres, or something else?"""

import numpy as np

from ..errors import DataError

# Root mean square distance of a hand's joints from their mean, metres: an open hand of 18 cm has
# 0.055, a fist 0.04.
HAND_SIZE = 0.05
# Units of length: numbers per metre, and from which measured ratio on they are meant. Below the
# last one, it is metres: a child's fist beside a large open hand.
UNITS = (
    ('millimetres', 1000.0, 300.0),
    ('centimetres', 100.0, 63.0),
    ('inches', 1 / 0.0254, 20.0),
    ('decimetres', 10.0, 3.0),
)
LARGEST_RATIO = 3000.0  # beyond, no unit explains it


def hand_size(points: np.ndarray) -> float:
    """Median root mean square distance of the points (N, V, 3) of hands from their mean.

    The unit is that of the points. 0 for no hands.
    """
    if not len(points):
        return 0.0
    centred = points - np.einsum('nvk->nk', points)[:, None] / points.shape[1]
    squares = np.einsum('nvk,nvk->n', centred, centred) / centred.shape[1]
    return float(np.median(np.sqrt(squares)))


def unit_of(found: float, expected: float) -> tuple[str, float] | None:
    """Name the unit of lengths that should be metres.

    Args:
        found: A size in the unit in question.
        expected: The same size in metres.

    Returns:
        Words for the unit, and its numbers per metre: 100 for centimetres, 0.01 where the numbers
        are a hundred times too small. None where they are metres, where no unit explains the
        ratio, and where a size is 0.
    """
    if not found or not expected:
        return None
    ratio = found / expected
    size = max(ratio, 1 / ratio)
    for name, per_metre, smallest in UNITS:
        if smallest <= size <= LARGEST_RATIO:
            if ratio > 1:
                return name, per_metre
            divided = f'metres divided by {per_metre:.4g}, as {name} are'
            words = 'kilometres' if per_metre == 1000 else divided
            return words, 1 / per_metre
    return None


def thousandfold(found: float, expected: float) -> float | None:
    """Ratio of two sizes where one of them must be in a unit a thousand times as large.

    None elsewhere.
    """
    unit = unit_of(found, expected)
    return found / expected if unit and unit[1] in (1000, 1 / 1000) else None


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
