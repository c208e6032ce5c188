"""Cameras of hands: do the joints, projected by K, lie in the picture that K is of?"""

import numpy as np

from ...hand.camera import project
from .findings import DatasetReport

OTHER_SIZE = 1.2  # principal points that lie so much beyond or before the middle are doubted
OFF_MIDDLE = 0.25  # of half a picture: how far hands then lie from the middle
FEW = 3  # entries; so many hands, and the principal points, are not in one corner by chance
LARGEST_SPAN = 1.5  # of the picture's longer side
SMALLEST_SPAN = 0.02


def check_cameras(
    xyz: np.ndarray,
    K: np.ndarray,
    sizes: np.ndarray,
    entries: np.ndarray,
    name: str,
    report: DatasetReport,
) -> None:
    """Note a K that belongs to pictures of another size, and hands that are not in the picture.

    Args:
        xyz: (N, 21, 3) joints, metres, all before the camera.
        K: (N, 3, 3) cameras.
        sizes: (N, 2) width and height of the pictures.
        entries: (N,) numbers of the entries.
        name: Common part of the names of the annotation files.
        report: Takes the findings.
    """
    uv = project(xyz, K)
    inside = ((uv >= 0) & (uv <= sizes[:, None])).all(-1).mean(1) >= 0.5
    other = _of_another_size(uv, K, sizes, inside)
    if other.any():
        width, height = np.median(2 * K[other, :2, 2], axis=0)
        real = np.median(sizes[other], axis=0)
        report.error(
            'camera',
            f'{name}_K.json',
            f'K belongs to pictures of about {width:.0f} x {height:.0f} pixels, whose middle its '
            f'principal point is; the pictures have {real[0]:.0f} x {real[1]:.0f}, and the hands '
            f'lie about ({uv[other, :, 0].mean():.0f}, {uv[other, :, 1].mean():.0f}) in them, '
            f'found so in {_share(other, entries)}. Multiply the first row of K by '
            f'{real[0] / width:.3g} and the second one by {real[1] / height:.3g}',
        )
        return
    if not inside.all():
        message = (
            'expected at least half of the joints inside the image, found otherwise in '
            f'{_share(~inside, entries)}'
        )
        if inside.mean() < 0.5:
            report.error('outside', name, f'{message}: K or xyz of other pictures?')
        else:
            report.warning('outside', name, message)
        return
    span = float(np.median((uv.max(1) - uv.min(1)).max(-1) / sizes.max(-1)))
    if not SMALLEST_SPAN <= span <= LARGEST_SPAN:
        report.error(
            'camera',
            f'{name}_K.json',
            'expected hands that span a part of the picture, found a span of '
            f'{span:.3g} times its longer side: focal lengths of other pictures?',
        )


def _of_another_size(
    uv: np.ndarray, K: np.ndarray, sizes: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """Entries whose K is the one of a larger or smaller picture, as far as can be told.

    Its principal point lies off the picture's middle, in both directions to the same side, the
    hands do too, and the scale that moves the one to the middle moves the others there.
    """
    scale = 2 * K[:, :2, 2] / sizes  # 1: in the middle
    other = (scale > OTHER_SIZE).all(-1) | ((scale > 0) & (scale < 1 / OTHER_SIZE)).all(-1)
    if not other.any():
        return other
    middle, scale = 2 * uv[other].mean(1) / sizes[other], scale[other]
    nearer = (np.abs(middle / scale - 1) < np.abs(middle - 1)).all(-1)
    away = np.median(np.abs(middle - 1)) > OFF_MIDDLE
    many = other.sum() >= FEW or (~inside[other]).mean() > 0.5
    return other if nearer.mean() > 0.8 and away and many else np.zeros_like(other)


def _share(chosen: np.ndarray, entries: np.ndarray) -> str:
    first = entries[int(np.argmax(chosen))]
    return f'{int(chosen.sum())} of {len(chosen)} entries, first entry {first}'
