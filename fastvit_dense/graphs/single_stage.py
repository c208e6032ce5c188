"""SSD from image to boxes, labels and scores, in operators that ONNX has.

mmdet's inference decides in Python how many boxes go on; here it is tensors all the way. The
network and its anchors are mmdet's modules.
"""

import torch
from torch import Tensor, nn

from ..errors import ExportError
from .common import Normalize
from .detector import (
    check_parts,
    check_suppression,
    decode_boxes,
    limit_of,
    non_max_suppression,
    top,
)

MODEL_PARTS = {
    '': ('SingleStageDetector',),
    'bbox_head': ('SSDHead', 'SSDLiteHead'),
    'bbox_head.bbox_coder': ('DeltaXYWHBBoxCoder',),
}


class SingleStageGraph(nn.Module):
    """Image to detections, best first.

    Outputs `boxes` (N, 4) x1, y1, x2, y2 in pixels of the image, `labels` (N,) int64, `scores`
    (N,).

    Args:
        normalize: In front.
        model: mmdet's `SingleStageDetector` with an `SSDHead`, in eval mode.
        divisor: The image is padded at its right and bottom to a multiple of this.

    Raises:
        ExportError: A part of the model is of a type that this graph does not know.
    """

    output_names = ('boxes', 'labels', 'scores')

    def __init__(self, normalize: Normalize, model: nn.Module, divisor: int) -> None:
        super().__init__()
        check_parts(model, MODEL_PARTS)
        cfg = model.test_cfg
        check_suppression(cfg.nms, 'model.test_cfg.nms')
        if cfg.get('min_bbox_size', -1) >= 0:
            raise ExportError(
                f'model.test_cfg.min_bbox_size: expected -1 (boxes of any size) in what is '
                f'exported, found {cfg.min_bbox_size}'
            )
        self.normalize = normalize
        self.divisor = divisor
        self.backbone, self.neck, self.head = model.backbone, model.neck, model.bbox_head
        self.cfg = cfg

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image (1, 3, H, W) to the outputs named above."""
        height, width = image.shape[2:]
        bottom, right = -height % self.divisor, -width % self.divisor
        padded = nn.functional.pad(self.normalize(image), (0, right, 0, bottom))
        corner = torch.stack(
            [torch.as_tensor(n).to(image.dtype) for n in (width, height, width, height)]
        )
        boxes, labels, scores = self._candidates(self.neck(self.backbone(padded)), corner)
        sets = scores[None]
        if not self.cfg.nms.get('class_agnostic'):
            classes = torch.arange(self.head.num_classes, device=image.device)
            # a set for each class; boxes of other classes get a score that the suppression drops
            sets = torch.where(labels == classes[:, None], scores, torch.full_like(scores, -1.0))
        kept = non_max_suppression(
            boxes.expand(sets.shape[0], -1, -1),
            sets[:, None],
            limit_of(self.cfg, 'max_per_img'),
            self.cfg.nms.iou_threshold,
            self.cfg.score_thr,
        )[:, 2]
        scores, best = top(scores[kept], limit_of(self.cfg, 'max_per_img'))
        return boxes[kept][best], labels[kept][best], scores

    def _candidates(
        self, features: tuple[Tensor, ...], corner: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (N, 4), labels (N,) and scores (N,): the best of each map."""
        head = self.head
        sizes = [feature.shape[2:] for feature in features]
        anchors = head.prior_generator.grid_priors(sizes, device=corner.device)
        boxes, labels, scores = [], [], []
        for logits, deltas, prior in zip(*head(features), anchors, strict=True):
            logits = logits[0].permute(1, 2, 0).reshape(-1, head.cls_out_channels)
            deltas = deltas[0].permute(1, 2, 0).reshape(-1, 4)
            found, place = top(
                logits.softmax(-1)[:, :-1].reshape(-1), limit_of(self.cfg, 'nms_pre')
            )
            anchor = place // head.num_classes
            boxes.append(decode_boxes(prior[anchor], deltas[anchor], head.bbox_coder, corner))
            labels.append(place % head.num_classes)
            scores.append(found)
        return torch.cat(boxes), torch.cat(labels), torch.cat(scores)
