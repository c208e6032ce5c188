"""Cameras of hands: do the joints, projected by K, lie in the picture that K is of?"""

import numpy as np

from ...hand.camera import ROOT, project
from .findings import DatasetReport

OTHER_SIZE = 1.2  # principal points that lie so much beyond or before the middle are doubted
OFF_MIDDLE = 0.25  # of half a picture: how far hands then lie from the middle
FEW = 3  # entries; so many hands, and the principal points, are not in one corner by chance
LARGEST_SPAN = 1.5  # of the picture's longer side
SMALLEST_SPAN = 0.02
# Focal lengths. Twice too short or long is not told from hands twice as far or near; MANO numbers
# hold the pixels per metre at the root of the hand, which K must agree with to this factor.
OTHER_FOCAL = 1.5
WIDEST_VIEW = 120  # degrees, of lenses that K can describe
WIDE_VIEW = 90  # so wide, hands within reach of the camera span more than the next
SMALL_SPAN = 0.15


def check_cameras(
    xyz: np.ndarray,
    K: np.ndarray,
    sizes: np.ndarray,
    entries: np.ndarray,
    name: str,
    report: DatasetReport,
    places: np.ndarray | None = None,
) -> None:
    """Note a K of pictures of another size or in another unit, and hands out of the picture.

    Args:
        xyz: (N, 21, 3) joints, metres, all before the camera.
        K: (N, 3, 3) cameras.
        sizes: (N, 2) width and height of the pictures.
        entries: (N,) numbers of the entries.
        name: Common part of the names of the annotation files.
        report: Takes the findings.
        places: (N, 3) what the MANO numbers hold of the root: pixels u, v, and pixels per metre.
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
    spans = (uv.max(1) - uv.min(1)).max(-1) / sizes.max(-1)
    expected = None if places is None else _expected_focal(xyz, uv, places)
    _check_focal(K, sizes, spans, f'{name}_K.json', report, expected)


def _expected_focal(xyz: np.ndarray, uv: np.ndarray, places: np.ndarray) -> float:
    """Focal length that the place in MANO's numbers tells, pixels; NaN where they tell none.

    The numbers may be of another size of the picture than K is: they tell the root's pixels, too.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        size = np.median(uv[:, ROOT] / places[:, :2])
        if not 0.1 < size < 10:
            return float('nan')
        if 1 / OTHER_SIZE < size < OTHER_SIZE:  # a focal length moves them, too
            size = 1
        return float(size * np.median(places[:, 2] * xyz[:, ROOT, 2]))


def _check_focal(
    K: np.ndarray,
    sizes: np.ndarray,
    spans: np.ndarray,
    where: str,
    report: DatasetReport,
    expected: float | None,
) -> None:
    """Note focal lengths that are too short or too long; see `check_cameras`.

    `spans` (N,) are those of the projected joints, in longer sides of the picture.
    """
    span, found = float(np.median(spans)), float(np.median(K[:, [0, 1], [0, 1]]))
    view = float(np.median(field_of_view(K, sizes)))
    words = (
        f'found focal lengths of {found:.4g} pixels, a field of view of {view:.0f} degrees, in '
        f'which hands span {span:.2g} times the longer side of the picture'
    )
    if expected is not None:
        ratio = expected / found
        if not 1 / OTHER_FOCAL < ratio < OTHER_FOCAL and _is_span(span * ratio):
            report.error(
                'camera',
                where,
                f'{words}; expected focal lengths of about {expected:.4g} pixels, as '
                f'the place of the root in the MANO numbers (58-60) says: K in another unit? '
                f'Multiply K[0][0] and K[1][1] by {ratio:.3g}',
            )
            return
    if view > WIDEST_VIEW or not _is_span(span):
        report.error(
            'camera',
            where,
            f'{words}; expected hands that span a part of the picture, and a field of view below '
            f'{WIDEST_VIEW} degrees: K of other pictures or in another unit?',
        )
    elif view > WIDE_VIEW and span < SMALL_SPAN:
        report.warning(
            'camera',
            where,
            f'{words}: a wide lens and hands far off, or focal lengths that are too short (K of '
            'other pictures or in another unit)?',
        )


def _is_span(span: float) -> bool:
    return SMALLEST_SPAN <= span <= LARGEST_SPAN


def field_of_view(K: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Wider of the horizontal and the vertical field of view (N,), degrees.

    Args:
        K: (N, 3, 3).
        sizes: (N, 2) width and height of the pictures.
    """
    focal = np.stack([K[:, 0, 0], K[:, 1, 1]], axis=1)
    return np.rad2deg(2 * np.arctan2(sizes / 2, focal)).max(1)


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
