"""Parts of a picture put together: instances that a border cuts, scores of pixels in two tiles."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from ..evaluation.masks import encode_part
from ..results.instance import InstanceResult

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
SAME = 0.5  # IoU, within what two tiles share, from which on two instances are one
INSIDE = 0.5  # share of a part there that lies in another instance, from which on it is of that
INSIDE_BOX = 0.8  # the same, where boxes alone are known
LESSER = 0.5  # share of the best score below which a part does not extend an instance
MASKS = 64  # that are kept decoded
TOUCHES = 1.0  # pixels from its border at which a tile cuts an instance


# --- instances ---------------------------------------------------------------------------------


def merge_instances(
    found: Sequence[InstanceResult], tiles: Sequence[Box], image: np.ndarray
) -> InstanceResult:
    """Put the instances of overlapping tiles together.

    Two tiles see the same where they overlap: instances of one class whose masks (or boxes) agree
    there are one, and so is a part that a border cuts with what it lies in. Of one that some tile
    sees whole that view is kept; else its parts are joined.

    Args:
        found: One result a tile.
        tiles: Their places.
        image: The picture, (H, W, 3) uint8.
    """
    owner = np.concatenate([np.full(len(r), i) for i, r in enumerate(found)])
    place = np.concatenate([np.arange(len(result)) for result in found])
    boxes = np.concatenate(
        [
            r.boxes + np.array([*tile[:2]] * 2, np.float32)
            for r, tile in zip(found, tiles, strict=True)
        ]
    )
    scores = np.concatenate([result.scores for result in found])
    labels = np.concatenate([result.labels for result in found])
    size = image.shape[:2]
    cut = _cut(boxes, np.array(tiles)[owner], size)
    views = _Views(found, tiles, owner, place)
    same = _pairs(boxes, labels, owner, tiles, cut, views if found[0].rles is not None else None)
    seeds, groups = _groups(scores, cut, same)
    masks = None
    if found[0].rles is not None:
        masks = [
            _joined([encode_part(views.mask(i), tiles[owner[i]][:2], size) for i in group])
            for group in groups
        ]
    merged = [[*boxes[g, :2].min(0), *boxes[g, 2:].max(0)] for g in groups]
    return InstanceResult(
        boxes=np.array(merged, np.float32).reshape(-1, 4),
        scores=scores[seeds],
        labels=labels[seeds].astype(np.int64),
        rles=masks,
        classes=found[0].classes,
        image=image,
        score_threshold=found[0].score_threshold,
    )


def _cut(boxes: np.ndarray, tiles: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Tell which boxes (N, 4) reach a border of their tile that is none of the picture."""
    height, width = size
    low = (boxes[:, :2] <= tiles[:, :2] + TOUCHES) & (tiles[:, :2] > 0)
    high = (boxes[:, 2:] >= tiles[:, 2:] - TOUCHES) & (tiles[:, 2:] < [width, height])
    return np.any(low | high, axis=1)


class _Views:
    """The masks of instances in their tiles.

    Args:
        found: One result a tile.
        tiles: Their places.
        owner: Tile of each instance.
        place: Its place in the result of the tile.
    """

    def __init__(
        self,
        found: Sequence[InstanceResult],
        tiles: Sequence[Box],
        owner: np.ndarray,
        place: np.ndarray,
    ) -> None:
        self.found, self.tiles, self.owner, self.place = found, tiles, owner, place
        self.mask = lru_cache(MASKS)(self._mask)

    def _mask(self, number: int) -> np.ndarray:
        rles: Any = self.found[self.owner[number]].rles
        return coco_mask.decode(rles[self.place[number]]).astype(bool)

    def inside(self, number: int, region: Box) -> np.ndarray:
        """The mask of an instance within a part of its tile, in pixels of the picture."""
        left, top, _, _ = self.tiles[self.owner[number]]
        rows = slice(region[1] - top, region[3] - top)
        return self.mask(number)[rows, region[0] - left : region[2] - left]


def _pairs(
    boxes: np.ndarray,
    labels: np.ndarray,
    owner: np.ndarray,
    tiles: Sequence[Box],
    cut: np.ndarray,
    views: _Views | None,
) -> dict[int, list[int]]:
    """For each instance those of other tiles that are the same thing, as far as both see it."""
    same: dict[int, list[int]] = {}
    members = [np.flatnonzero(owner == number) for number in range(len(tiles))]
    for i, one in enumerate(tiles):
        for j in range(i):
            left, top = np.maximum(one[:2], tiles[j][:2]).tolist()
            right, bottom = np.minimum(one[2:], tiles[j][2:]).tolist()
            if left >= right or top >= bottom or not len(members[i]) or not len(members[j]):
                continue
            area = [left, top, left, top], [right, bottom, right, bottom]
            parts = [boxes[members[k]].clip(*area).astype(np.float64) for k in (i, j)]
            common, areas = _common(*parts)
            alike = labels[members[i]][:, None] == labels[members[j]][None]
            for m, n in zip(*np.nonzero(alike & (common > 0)), strict=True):
                a, b = int(members[i][m]), int(members[j][n])
                sizes = common[m, n], areas[0][m], areas[1][n]
                limit = INSIDE_BOX
                if views is not None:
                    masks = [views.inside(k, (left, top, right, bottom)) for k in (a, b)]
                    sizes = (masks[0] & masks[1]).sum(), masks[0].sum(), masks[1].sum()
                    limit = INSIDE
                if _agree(*sizes, cut=(bool(cut[a]), bool(cut[b])), limit=limit):
                    same.setdefault(a, []).append(b)
                    same.setdefault(b, []).append(a)
    return same


def _agree(common: float, one: float, other: float, cut: tuple[bool, bool], limit: float) -> bool:
    """Tell whether two areas are one thing, or a part that a border cuts lies in the other."""
    if common <= 0:
        return False
    inside = [common / size for size, is_cut in zip((one, other), cut, strict=True) if is_cut]
    return common / (one + other - common) >= SAME or max(inside, default=0.0) >= limit


def _common(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """(N, M) areas that boxes have in common, and the areas of both."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, other)]
    return (high - low).clip(min=0).prod(2), areas


def _groups(
    scores: np.ndarray, cut: np.ndarray, same: dict[int, list[int]]
) -> tuple[np.ndarray, list[list[int]]]:
    """The best view of each instance, best first, and the views that make it up; others go."""
    free = np.ones(len(scores), dtype=bool)
    seeds, groups = [], []
    for seed in np.argsort(-scores, kind='stable').tolist():
        if not free[seed]:
            continue
        members, queue = [], [seed]
        free[seed] = False
        while queue:
            current = queue.pop()
            members.append(current)
            if current != seed and not cut[current]:
                continue  # it is seen whole: what else it resembles is another thing
            for other in same.get(current, []):
                if free[other]:
                    free[other] = False
                    queue.append(other)
        strong = [i for i in members if scores[i] >= LESSER * scores[seed]]
        whole = [i for i in strong if not cut[i]]
        seeds.append(seed)
        groups.append([max(whole, key=lambda i: scores[i])] if whole else strong)
    return np.array(seeds, dtype=np.int64), groups


def _joined(codes: list[dict]) -> dict:
    return codes[0] if len(codes) == 1 else coco_mask.merge(codes)


# --- pixels ------------------------------------------------------------------------------------


def label_tiles(
    rows: Iterable[tuple[list[Box], Iterable[Tensor]]],
    size: tuple[int, int],
    ramp: int,
    threshold: float = 0.5,
) -> np.ndarray:
    """Label a picture from the scores of overlapping tiles, one row of tiles at a time.

    Scores are blended: towards the border of a tile its weight falls to nothing.

    Args:
        rows: For each row of tiles their places, and the scores of each, (C, h, w).
        size: Height and width of the picture.
        ramp: Pixels over which weights rise from the border of a tile.
        threshold: Of one class under a sigmoid; 1 above it.

    Returns:
        (H, W) int64. In memory are the scores of one row of tiles: C x h x W numbers.
    """
    height, width = size
    labels = np.zeros(size, np.int64)
    total = weight = torch.empty(0)
    before = 0
    waiting: tuple[int, int] | None = None  # rows of `total` that the next tiles may add to
    for tiles, scores in rows:
        top, bottom = tiles[0][1], tiles[0][3]
        for tile, score in zip(tiles, scores, strict=True):
            if not total.numel():
                total = torch.zeros(len(score), bottom - top, width)
                weight = torch.zeros(bottom - top, width)
            if waiting is not None:
                _label(labels, total, weight, before, top, threshold)
                total, weight = (_moved(array, top - before) for array in (total, weight))
                waiting = None
            ramps = _weights(tile, ramp)
            total[:, :, tile[0] : tile[2]] += score.float().cpu() * ramps
            weight[:, tile[0] : tile[2]] += ramps
        before, waiting = top, (top, bottom)
    _label(labels, total, weight, before, height, threshold)
    return labels


def _moved(array: Tensor, rows: int) -> Tensor:
    """An array whose first rows are gone, with empty ones behind the others."""
    moved = torch.zeros_like(array)
    moved[..., : array.shape[-2] - rows, :] = array[..., rows:, :]
    return moved


def _weights(tile: Box, ramp: int) -> Tensor:
    """(h, w) weights of a tile: 1 inside, falling towards its borders."""
    sides = []
    for length in (tile[3] - tile[1], tile[2] - tile[0]):
        place = torch.arange(length) + 0.5
        sides.append((torch.minimum(place, length - place) / max(ramp, 1)).clamp(max=1))
    return sides[0][:, None] * sides[1][None]


def _label(
    labels: np.ndarray, total: Tensor, weight: Tensor, start: int, stop: int, threshold: float
) -> None:
    """Label the rows that no further tile adds to."""
    rows = total[:, : stop - start]
    if len(rows) > 1:
        labels[start:stop] = rows.argmax(0).numpy()
    else:
        labels[start:stop] = (rows[0] / weight[: stop - start] > threshold).numpy()
