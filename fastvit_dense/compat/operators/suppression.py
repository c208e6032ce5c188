"""Non-maximum suppression."""

import torch
import torchvision
from torch import Tensor

from ...errors import OperatorError
from .common import HOW_TO_COMPILE, wide


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou_threshold: A box goes when its IoU with a better kept box is above this.
        offset: Added to every width and height; torchvision has 0 only.

    Returns:
        Indices of the kept boxes, best first, int64.

    Raises:
        OperatorError: `offset` is not 0.
    """
    if offset != 0:
        raise OperatorError(
            f'nms: offset={offset} is not available without compiled operators, only offset=0; '
            f'set offset=0 or {HOW_TO_COMPILE}'
        )
    return torchvision.ops.nms(wide(boxes), scores.to(wide(boxes).dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al. 2017): overlapping boxes lose score instead of being removed.

    Args:
        boxes: (N, 4).
        scores: (N,).
        dets: (N, 5), filled with the kept boxes and their new scores in the order of selection.
        iou_threshold: Overlap at which method 0 removes and method 1 decays.
        sigma: Width of method 2.
        min_score: A box whose score falls below is dropped; the best box always stays.
        method: 0 hard NMS, 1 linear `score * (1 - iou)`, 2 gaussian `score * exp(-iou^2 / sigma)`.
        offset: Added to every width and height, 0 or 1.

    Returns:
        Indices of the kept boxes in the order of selection, int64.
    """
    remaining = torch.arange(len(boxes), device=boxes.device)
    boxes, scores = wide(boxes), wide(scores).clone()
    areas = _sides(boxes, offset).prod(-1)
    kept: list[Tensor] = []
    while len(remaining):
        best_position = scores[remaining].argmax()
        best = remaining[best_position]
        dets[len(kept), :4], dets[len(kept), 4] = boxes[best], scores[best]
        kept.append(best)
        remaining = remaining[torch.arange(len(remaining), device=best.device) != best_position]

        corners = torch.cat(
            [
                torch.maximum(boxes[best, :2], boxes[remaining, :2]),
                torch.minimum(boxes[best, 2:], boxes[remaining, 2:]),
            ],
            dim=1,
        )
        overlap = _sides(corners, offset).clamp(min=0).prod(-1)
        iou = overlap / (areas[best] + areas[remaining] - overlap)
        if method == 0:
            weight = (~(iou >= iou_threshold)).to(iou)
        elif method == 1:
            weight = torch.where(iou >= iou_threshold, 1 - iou, 1.0)
        else:
            weight = torch.exp(-(iou**2) / sigma)
        scores[remaining] *= weight
        remaining = remaining[~(scores[remaining] < min_score)]
    return torch.stack(kept) if kept else remaining


def _sides(boxes: Tensor, offset: int) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2] + offset
