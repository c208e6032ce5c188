"""Binary masks as COCO's run-length codes: encoding, checking, pasting without large stacks."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor

from ..datasets.formats.rle import rle_error
from ..errors import PredictionError

STRIP_PIXELS = 1 << 20


def encode_masks(masks: Tensor | np.ndarray | list[dict]) -> list[dict]:
    """Encode masks one by one.

    Args:
        masks: (N, H, W), bool or 0/1; run-length codes are passed through.

    Returns:
        N run-length codes `{'size': [H, W], 'counts': bytes}`.
    """
    if isinstance(masks, list):
        return masks
    if isinstance(masks, Tensor):
        masks = masks.detach().cpu().numpy()
    return [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]


def check_codes(codes: list, size: list[int], name: Callable[[int], str]) -> None:
    """Raise PredictionError unless all are compressed run-length codes of an image.

    Args:
        codes: What should be `{'size': [height, width], 'counts': str or bytes}`.
        size: Height and width of the image.
        name: Gives the name of entry `i` for the message.
    """
    for i, code in enumerate(codes):
        if not isinstance(code, dict):
            advice = '; frPyObjects of pycocotools makes them of polygons' * isinstance(code, list)
            raise PredictionError(
                f'{name(i)}: expected a run-length code, found {type(code).__name__}{advice}'
            )
        found = code.get('size')
        if not isinstance(found, list | tuple) or list(found) != size:
            raise PredictionError(
                f'{name(i)}: the image is {size} (height, width), the mask {code.get("size")}'
            )
        counts = code.get('counts')
        if not isinstance(counts, str | bytes) or not counts.isascii():
            raise PredictionError(
                f'{name(i)}: expected compressed run-length "counts", found {str(counts)[:40]!r}'
            )
    fault = rle_error([code_bytes(code) for code in codes], size[0] * size[1])
    if fault:
        raise PredictionError(f'{name(fault[0])}: {fault[1]}')


def code_bytes(code: dict) -> bytes:
    """The `counts` of a compressed run-length code."""
    counts = code['counts']
    return counts.encode() if isinstance(counts, str) else counts


@torch.no_grad()
def paste_masks_rle(
    mask_probs: Tensor, boxes: Tensor, image_size: tuple[int, int], threshold: float = 0.5
) -> list[dict]:
    """Paste box-sized mask predictions into the image and encode them, one at a time.

    On the CPU pixel for pixel what mmdet's `FCNMaskHead` pastes, but never more than one mask
    is in memory, no larger than its box; sampling works in strips of about a million pixels.

    Args:
        mask_probs: (N, h, w) mask probabilities, 0-1, one per detection.
        boxes: (N, 4) boxes x1, y1, x2, y2 in pixels of the image.
        image_size: Height and width of the image.
        threshold: Probability from which on a pixel belongs to the mask.

    Returns:
        N run-length codes `{'size': [H, W], 'counts': bytes}`.
    """
    height, width = (int(n) for n in image_size)
    codes = []
    for probs, box in zip(mask_probs, boxes, strict=True):
        left, top = (box[:2].floor() - 1).clamp(min=0).int().tolist()
        right = min(int(box[2].ceil()) + 1, width)
        bottom = min(int(box[3].ceil()) + 1, height)
        mask = np.zeros((max(bottom - top, 0), max(right - left, 0)), dtype=bool)
        if mask.size:
            columns = _sampling_points(left, right, box[0], box[2])
            rows = _sampling_points(top, bottom, box[1], box[3])
            strip = max(1, STRIP_PIXELS // mask.shape[1])
            for y in range(0, len(mask), strip):
                part = rows[y : y + strip]
                grid = torch.stack(
                    [columns.expand(len(part), -1), part[:, None].expand(-1, len(columns))], dim=2
                )
                pasted = F.grid_sample(probs[None, None].float(), grid[None], align_corners=False)
                mask[y : y + strip] = (pasted[0, 0] >= threshold).cpu().numpy()
        codes.append(encode_part(mask, (left, top), (height, width)))
    return codes


def encode_part(mask: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> dict:
    """Encode an image that is empty outside a part of it.

    Args:
        mask: The part, (h, w) bool.
        corner: Column and row of its first pixel.
        size: Height and width of the image.

    Returns:
        The run-length code, as `encode_masks` gives it for the whole image.
    """
    (left, top), (height, width) = corner, size
    # by columns, an empty pixel after each, so that every run ends in its column
    by_column = np.zeros((mask.shape[1], mask.shape[0] + 1), dtype=bool)
    by_column[:, :-1] = mask.T
    flat = by_column.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    column, row = np.divmod(changes, mask.shape[0] + 1)
    places = (left + column) * height + top + row
    # a run that goes on at the top of the next column is one run
    goes_on = np.flatnonzero(places[1:-1:2] == places[2::2])
    places = np.delete(places, np.concatenate([2 * goes_on + 1, 2 * goes_on + 2]))
    runs = np.diff(places, prepend=0, append=height * width)
    if runs[-1] == 0:
        runs = runs[:-1]
    return coco_mask.frPyObjects({'size': [height, width], 'counts': runs.tolist()}, height, width)


def _sampling_points(start: int, stop: int, low: Tensor, high: Tensor) -> Tensor:
    """Pixel centres as `grid_sample` coordinates of the box: -1 at `low`, 1 at `high`."""
    centres = torch.arange(start, stop, device=low.device).to(torch.float32) + 0.5
    points = (centres - low) / (high - low) * 2 - 1
    return torch.where(torch.isinf(points), torch.zeros_like(points), points)
