"""Objects that their picture cannot show: without area, or most of it outside."""

from collections.abc import Iterator
from dataclasses import replace

from ...errors import DataError
from .records import Found, Object, Picture, box_of

MOST_OUTSIDE = 0.5  # share of a box or polygon
SLIPS = 0.01  # share of the objects that are left out with a word; more are an error

Extent = tuple[float, float, float, float]  # left, top, right, bottom


def without_slips(found: Found) -> Found:
    """The folder without objects that cannot be shown, which a note tells of.

    Raises:
        DataError: They are more than 1 % of its objects.
    """
    faults = [
        (entry, told)
        for picture in found.pictures
        for entry in picture.objects
        if (told := _fault(entry, picture))
    ]
    if not faults:
        return found
    first, told = faults[0]
    more = f' (so are {len(faults) - 1} more of {found.objects} objects)' if faults[1:] else ''
    if len(faults) > SLIPS * found.objects:
        raise DataError(f'{first.where}: {told}{more}; correct it, or take it out')
    left_out = {id(entry) for entry, _ in faults}
    pictures = [
        replace(p, objects=[o for o in p.objects if id(o) not in left_out]) for p in found.pictures
    ]
    note = f'{len(faults)} objects cannot be shown and are left out ({first.where}: {told})'
    return replace(found, pictures=pictures, notes=[*found.notes, note])


def _fault(entry: Object, picture: Picture) -> str | None:
    """Tell in words why a picture cannot show an object; None: it can."""
    height, width = picture.size
    for extent in _extents(entry):
        left, top, right, bottom = extent
        corners = f'{left:.6g}, {top:.6g}, {right:.6g}, {bottom:.6g}'
        found = f'found {corners} (left, top, right, bottom)'
        if right <= left or bottom <= top:
            return f'expected an object with width and height, {found}'
        if (outside := share_outside(extent, picture.size)) > MOST_OUTSIDE:
            return (
                f'expected an object inside the {width}x{height} pixels of {picture.path.name}, '
                f'{found}, {outside:.0%} of it outside'
            )
    if entry.rings and not any(map(has_area, entry.rings)):
        return f'expected a polygon with an area, found all its {_corners(entry)} corners on a line'
    return None


def _corners(entry: Object) -> int:
    return sum(len(ring) // 2 for ring in entry.rings)


def _extents(entry: Object) -> Iterator[Extent]:
    yield entry.box
    if entry.rings:
        yield box_of(entry.rings)


def share_outside(extent: Extent, size: tuple[int, int]) -> float:
    """Share of an extent that lies outside of a picture, 0-1; 0 of one without area."""
    area = area_of(extent)
    return 1 - shared_area(extent, (0, 0, size[1], size[0])) / area if area else 0.0


def area_of(extent: Extent) -> float:
    """Area of an extent."""
    return (extent[2] - extent[0]) * (extent[3] - extent[1])


def shared_area(a: Extent, b: Extent) -> float:
    """Area that two extents have in common."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def has_area(polygon: list[float]) -> bool:
    """Tell whether the corners do not lie on one line."""
    x0, y0 = polygon[:2]
    return any(
        (polygon[i] - x0) * (polygon[i + 3] - y0) != (polygon[i + 2] - x0) * (polygon[i + 1] - y0)
        for i in range(2, len(polygon) - 2, 2)
    )
