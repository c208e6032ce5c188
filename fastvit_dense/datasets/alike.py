"""Pictures that belong together: the same, almost the same, or neighbours in a video."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .decoding import DEEP_MODES, PILLOW_FAULTS

SIDE = 16  # of the small grey pictures that are compared
# of their greys (0-255), on average: a picture saved again differs by less than 2, another size too
ALIKE = 4.0
VIDEO_WORDS = ('frame', 'video', 'clip', 'cam', 'seq', 'scene', 'mov')
VIDEO_SHARE = 0.5  # neighbours of a video differ by less than this, of what any two pictures do
VIDEO_LENGTH = 3


def groups_of(paths: Sequence[Path], near: bool = True) -> tuple[list[list[int]], list[list[int]]]:
    """Group pictures that are the same, or almost, and find videos.

    Args:
        paths: The picture files.
        near: False: those that are almost the same are not grouped.

    Returns:
        Groups of indices that hold every picture once; and the videos: runs of pictures of one
        folder whose names count up and that look alike from one to the next, in their order.
    """
    small = np.stack([_thumbnail(path) for path in paths]).astype(np.int16)
    parent = list(range(len(paths)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    videos = list(_videos(paths, small))
    video_of = {i: k for k, video in enumerate(videos) for i in video}
    for a, b in (*_same_bytes(paths), *(_almost_same(small) if near else ())):
        if video_of.get(a, -1) != video_of.get(b, -2):  # within a video its order decides
            parent[root(a)] = root(b)
    groups = defaultdict(list)
    for i in range(len(paths)):
        groups[root(i)].append(i)
    return list(groups.values()), videos


def _thumbnail(path: Path) -> np.ndarray:
    """A picture in 16 x 16 greys; of one that cannot be read its name's, which no other has."""
    try:
        with Image.open(path) as image:
            image.draft('L', (8 * SIDE, 8 * SIDE))
            shown = _of_bytes(image) if image.mode in DEEP_MODES else image
            grey = shown.convert('L').resize((SIDE, SIDE), Image.Resampling.BOX)
            return np.asarray(grey)
    except PILLOW_FAULTS:
        digest = hashlib.sha512(str(path).encode()).digest() * 4
        return np.frombuffer(digest, np.uint8).reshape(SIDE, SIDE)


def _of_bytes(image: Image.Image) -> Image.Image:
    """A grey picture of more than 8 bits, up to its own highest value; Pillow would cut it off."""
    values = np.asarray(image, np.float32)
    return Image.fromarray(
        (values * (255 / max(float(values.max()), 1.0))).clip(0).astype(np.uint8)
    )


def _same_bytes(paths: Sequence[Path]) -> Iterable[tuple[int, int]]:
    """Pairs of files of the same content."""
    first: dict[tuple[int, bytes], int] = {}
    by_size = defaultdict(list)
    for i, path in enumerate(paths):
        by_size[path.stat().st_size].append(i)
    for size, same in by_size.items():
        for i in same if len(same) > 1 else ():
            with paths[i].open('rb') as file:
                digest = hashlib.file_digest(file, 'sha256').digest()
            known = first.setdefault((size, digest), i)
            if known != i:
                yield known, i


def _almost_same(small: np.ndarray) -> Iterable[tuple[int, int]]:
    """Pairs whose small pictures differ by less than `ALIKE` on average.

    The mean grey of two such pictures differs by less than that, too: only those are compared.
    """
    flat = small.reshape(len(small), -1)
    means = flat.mean(1)
    order = np.argsort(means, kind='stable')
    for place, i in enumerate(order):
        last = np.searchsorted(means[order], means[i] + ALIKE, side='right')
        near = order[place + 1 : last]
        if near.size:
            differences = np.abs(flat[near] - flat[i]).mean(1)
            for j in near[differences < ALIKE]:
                yield int(i), int(j)


def _videos(paths: Sequence[Path], small: np.ndarray) -> Iterable[list[int]]:
    runs = defaultdict(list)
    for i, path in enumerate(paths):
        # of a.rf.HASH.jpg, as Roboflow renames pictures, the first part
        cut = re.fullmatch(r'(.*?)(\d+)(_(?:jpe?g|png))?', path.name.partition('.')[0])
        if cut:
            runs[path.parent, cut[1]].append((int(cut[2][-18:]), i))
    usual = _usual_difference(small)
    for (_, prefix), run in runs.items():
        ordered = [i for _, i in sorted(run)]
        if len(ordered) < VIDEO_LENGTH:
            continue
        named = any(word in prefix.lower() for word in VIDEO_WORDS)
        steps = np.abs(np.diff(small[ordered], axis=0)).mean((1, 2))
        if named or np.median(steps) < VIDEO_SHARE * usual:
            yield ordered


def _usual_difference(small: np.ndarray) -> float:
    """The median difference of two pictures of the whole, of 500 pairs at random."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, len(small), (2, 500))
    pairs = a != b
    return (
        float(np.median(np.abs(small[a[pairs]] - small[b[pairs]]).mean((1, 2))))
        if any(pairs)
        else 0.0
    )
