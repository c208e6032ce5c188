"""Mask R-CNN from image to boxes, labels, scores and masks, in operators that ONNX has.

mmdet's inference decides in Python how many boxes go on; here it is tensors all the way, so that
one traced graph serves images of any size. Convolutions, fully connected layers and anchors are
mmdet's modules, what connects them follows He et al. 2017 with the settings of the config's
`test_cfg`. Two steps are arranged for the runtimes:

- Suppression by class is one NonMaxSuppression whose batch is the classes, at most `max_per_img`
  boxes each: no box is compared with one of another class.
- RoIs are sorted by pyramid level before RoIAlign and stay in that order, so that no pooled
  feature is copied.
"""

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.onnx.symbolic_helper import parse_args

from ..errors import ExportError
from .common import Normalize

OPSET = 17  # RoiAlign with half-pixel centres needs 16; runtimes of 2022 and later have 17
# settings of the proposals' suppression; the last says how much is done at once
OF_PROPOSALS = ('type', 'iou_threshold', 'split_thr')
NO_THRESHOLD = -0.5  # below every score, above those of dropped boxes
MODEL_PARTS = {
    '': ('MaskRCNN', 'FasterRCNN'),
    'rpn_head': ('RPNHead',),
    'rpn_head.prior_generator': ('AnchorGenerator',),
    'rpn_head.bbox_coder': ('DeltaXYWHBBoxCoder',),
    'roi_head': ('StandardRoIHead',),
    'roi_head.bbox_roi_extractor': ('SingleRoIExtractor',),
    'roi_head.bbox_head.bbox_coder': ('DeltaXYWHBBoxCoder',),
    'roi_head.mask_roi_extractor': ('SingleRoIExtractor',),
    'roi_head.mask_head': ('FCNMaskHead', 'RLEMaskHead'),
}


@torch.library.custom_op('fastvit_dense::non_max_suppression', mutates_args=())
def non_max_suppression(
    boxes: Tensor, scores: Tensor, limit: int, iou: float, score: float
) -> Tensor:
    """Greedy suppression within each set of a batch: ONNX's NonMaxSuppression.

    Args:
        boxes: (B, N, 4) x1, y1, x2, y2.
        scores: (B, 1, N).
        limit: Boxes to keep in each set, the best.
        iou: A box goes when its IoU with a better kept box is above this.
        score: A box goes when its score is not above this.

    Returns:
        (K, 3) int64: set, 0, box.
    """
    kept = []
    for number in range(len(boxes)):
        candidates = (scores[number, 0] > score).nonzero()[:, 0]
        found = torchvision.ops.nms(boxes[number, candidates], scores[number, 0, candidates], iou)
        rows = candidates[found][:limit, None]
        zero = torch.zeros_like(rows)
        kept.append(torch.cat([zero + number, zero, rows], dim=1))
    return torch.cat(kept)


@parse_args('v', 'v', 'i', 'f', 'f')
def _non_max_suppression_symbolic(
    g: object, boxes: object, scores: object, limit: int, iou: float, score: float
) -> object:
    constants = (
        torch.tensor([limit]),
        torch.tensor([iou], dtype=torch.float32),
        torch.tensor([score], dtype=torch.float32),
    )
    constants = [g.op('Constant', value_t=value) for value in constants]
    return g.op('NonMaxSuppression', boxes, scores, *constants)


torch.onnx.register_custom_op_symbolic(
    'fastvit_dense::non_max_suppression', _non_max_suppression_symbolic, OPSET
)


class DetectorGraph(nn.Module):
    """One image to detections, best first; how many there are differs from image to image.

    Outputs `boxes` (N, 4) x1, y1, x2, y2 in pixels of the image, `labels` (N,) int64, `scores`
    (N,), `masks` (N, 28, 28): the probability of the mask over its box, to be sampled at the
    pixel centres of the image (`evaluation.masks.paste_masks_rle`). No masks for a Faster R-CNN.

    Args:
        normalize: In front.
        model: mmdet's `MaskRCNN` or `FasterRCNN` in eval mode.
        divisor: The image is padded at its right and bottom to a multiple of this.

    Raises:
        ExportError: A part of the model is of a type that this graph does not know.
    """

    def __init__(self, normalize: Normalize, model: nn.Module, divisor: int) -> None:
        super().__init__()
        _check(model)
        self.normalize = normalize
        self.divisor = divisor
        self.backbone, self.neck = model.backbone, model.neck
        self.rpn_head, self.roi_head = model.rpn_head, model.roi_head
        self.rpn_cfg, self.cfg = model.test_cfg.rpn, model.test_cfg.rcnn
        self.with_mask = model.roi_head.with_mask
        self.output_names = ('boxes', 'labels', 'scores') + ('masks',) * self.with_mask

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Image (1, 3, H, W) to the outputs named above."""
        height, width = image.shape[2:]
        bottom, right = -height % self.divisor, -width % self.divisor
        # after the normalisation, as the model was trained: with the mean colour
        padded = F.pad(self.normalize(image), (0, right, 0, bottom))
        features = self.neck(self.backbone(padded))
        corner = torch.stack([_as_tensor(n, image) for n in (width, height, width, height)])

        rois = self._propose(features, corner)
        pooled, order = pool_rois(features, rois, self.roi_head.bbox_roi_extractor)
        boxes, labels, scores = self._classify(pooled, rois[order], corner)
        if not self.with_mask:
            return boxes, labels, scores
        pooled, order = pool_rois(features, boxes, self.roi_head.mask_roi_extractor)
        logits = self.roi_head.mask_head(pooled)
        labels_there = labels[order]
        if self.roi_head.mask_head.class_agnostic:
            labels_there = torch.zeros_like(labels_there)
        places = torch.arange(labels_there.shape[0], device=image.device)
        masks = logits[places, labels_there].sigmoid()
        return boxes, labels, scores, masks[torch.argsort(order)]

    def _propose(self, features: tuple[Tensor, ...], corner: Tensor) -> Tensor:
        """RoIs (R, 4) from the region proposal network."""
        head, cfg = self.rpn_head, self.rpn_cfg
        sizes = [feature.shape[2:] for feature in features]
        anchors = head.prior_generator.grid_priors(sizes, device=corner.device)
        all_boxes, all_scores = [], []
        for logits, deltas, prior in zip(*head(features), anchors, strict=True):
            scores = logits[0].permute(1, 2, 0).reshape(-1, head.cls_out_channels)
            scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(-1)[:, :-1]
            scores, best = top(scores[:, 0], limit_of(cfg, 'nms_pre'))
            deltas = deltas[0].permute(1, 2, 0).reshape(-1, 4)[best]
            boxes = decode_boxes(prior[best], deltas, head.bbox_coder, corner)
            # too small ones get a score that the suppression drops
            smallest = cfg.get('min_bbox_size', -1)
            if smallest >= 0:
                large = (boxes[:, 2:] - boxes[:, :2] > smallest).all(1)
                scores = torch.where(large, scores, torch.full_like(scores, -1.0))
            kept = non_max_suppression(
                boxes[None],
                scores[None, None],
                limit_of(cfg, 'max_per_img'),
                cfg.nms.iou_threshold,
                NO_THRESHOLD,
            )[:, 2]
            all_boxes.append(boxes[kept])
            all_scores.append(scores[kept])
        best = top(torch.cat(all_scores), limit_of(cfg, 'max_per_img'))[1]
        return torch.cat(all_boxes)[best]

    def _classify(
        self, pooled: Tensor, rois: Tensor, corner: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (N, 4), labels (N,), scores (N,) from the pooled features of R RoIs."""
        head, cfg = self.roi_head.bbox_head, self.cfg
        logits, deltas = head(pooled)
        scores = logits.softmax(-1)[:, :-1].T  # (classes, R)
        per_roi = 1 if head.reg_class_agnostic else head.num_classes
        deltas = deltas.reshape(-1, per_roi, 4)
        boxes = decode_boxes(rois[:, None], deltas, head.bbox_coder, corner)
        boxes = boxes.transpose(0, 1).expand(head.num_classes, -1, -1)
        labels = torch.arange(head.num_classes, device=corner.device)[:, None]
        labels = labels.expand(-1, scores.shape[1])
        if cfg.nms.get('class_agnostic'):  # one set of all
            boxes, scores, labels = (
                x.reshape(1, -1, *x.shape[2:]) for x in (boxes, scores, labels)
            )
        selected = non_max_suppression(
            boxes,
            scores[:, None],
            limit_of(cfg, 'max_per_img'),
            cfg.nms.iou_threshold,
            cfg.score_thr,
        )
        scores, best = top(scores[selected[:, 0], selected[:, 2]], limit_of(cfg, 'max_per_img'))
        place = selected[best, 0], selected[best, 2]
        return boxes[place], labels[place], scores


def limit_of(cfg: dict, name: str) -> int:
    """A number of boxes in mmdet's settings, where none or -1 stands for all."""
    value = cfg.get(name, -1)
    return value if value > 0 else 1 << 30


def top(scores: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """The best of scores (N,), in order, at most `limit`, and where they stood."""
    count = _as_tensor(scores.shape[0], torch.zeros((), dtype=torch.int64))
    k = torch.minimum(count, torch.tensor(limit))
    return torch.topk(scores, k if torch.jit.is_tracing() else int(k))


def decode_boxes(boxes: Tensor, deltas: Tensor, coder: object, corner: Tensor) -> Tensor:
    """Move and scale boxes (R-CNN, appendix C), and cut them at the image's border.

    Args:
        boxes: (..., 4) anchors or RoIs.
        deltas: (..., 4) of the network.
        coder: mmdet's, for its settings.
        corner: (4,) width, height, width, height of the image.
    """
    deltas = deltas * deltas.new_tensor(coder.stds) + deltas.new_tensor(coder.means)
    limit = abs(float(torch.tensor(16 / 1000, dtype=torch.float64).log()))
    size = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) * 0.5 + size * deltas[..., :2]
    half = size * deltas[..., 2:].clamp(-limit, limit).exp() * 0.5
    moved = torch.cat([centre - half, centre + half], dim=-1)
    return torch.minimum(moved.clamp(min=0), corner) if coder.clip_border else moved


def pool_rois(
    features: tuple[Tensor, ...], rois: Tensor, extractor: nn.Module
) -> tuple[Tensor, Tensor]:
    """RoIAlign from the pyramid level that fits each RoI's size (FPN, equation 1).

    Args:
        features: (1, C, H_i, W_i), finest first.
        rois: (R, 4) in pixels of the image.
        extractor: mmdet's, for its settings.

    Returns:
        (R, C, h, w) sorted by level, and (R,) the RoI that each comes from.
    """
    layers = extractor.roi_layers
    scale = (rois[:, 2:] - rois[:, :2]).prod(1).sqrt()
    level = torch.log2(scale / extractor.finest_scale + 1e-6).floor()
    level = level.clamp(0, len(layers) - 1)
    pooled, order = [], []
    for number, (layer, feature) in enumerate(zip(layers, features, strict=False)):
        here = (level == number).nonzero()[:, 0]
        boxes = F.pad(rois[here], (1, 0))  # all of image 0
        pooled.append(
            torchvision.ops.roi_align(
                feature,
                boxes,
                layer.output_size,
                layer.spatial_scale,
                layer.sampling_ratio,
                layer.aligned,
            )
        )
        order.append(here)
    return torch.cat(pooled), torch.cat(order)


def _as_tensor(number: int | Tensor, like: Tensor) -> Tensor:
    """A size as a tensor: sizes are tensors while tracing, numbers otherwise."""
    return torch.as_tensor(number).to(like.dtype)


def check_suppression(
    cfg: Mapping, place: str, known: Collection[str] = (*OF_PROPOSALS, 'class_agnostic')
) -> None:
    """See that boxes are suppressed in a way that a graph has.

    Args:
        cfg: mmdet's `nms`.
        place: Of it, for the message.
        known: Settings that the graph follows.

    Raises:
        ExportError: It is of another type, or has other settings.
    """
    used = {name for name, value in cfg.items() if value}  # False and 0 are what mmcv does itself
    if cfg.get('type', 'nms') != 'nms' or 'iou_threshold' not in cfg or not used <= {*known}:
        raise ExportError(
            f'{place}: expected type nms and of its settings {", ".join(known[1:])} in what is '
            f'exported, found {dict(cfg)}'
        )


def check_parts(model: nn.Module, parts: Mapping[str, Collection[str]]) -> None:
    """Compare the types of a model's parts with those that a graph knows.

    Args:
        model: A detector.
        parts: Path of a part, '' for the model, to the types that it may be of. A mask's part may
            be missing.

    Raises:
        ExportError: A part is of another type.
    """
    for path, known in parts.items():
        part = model
        for name in filter(None, path.split('.')):
            part = getattr(part, name, None)
        if part is None and 'mask' in path:
            continue
        if type(part).__name__ not in known:
            raise ExportError(
                f'model{"." * bool(path)}{path}: {type(part).__name__} cannot be exported, known '
                f'is {", ".join(known)}; --part backbone exports the backbone of any model'
            )


def _check(model: nn.Module) -> None:
    check_parts(model, MODEL_PARTS)
    check_suppression(model.test_cfg.rpn.nms, 'model.test_cfg.rpn.nms', OF_PROPOSALS)
    check_suppression(model.test_cfg.rcnn.nms, 'model.test_cfg.rcnn.nms')
    if model.roi_head.with_shared_head:
        raise ExportError('model.roi_head.shared_head: cannot be exported')
    extractors = [model.roi_head.bbox_roi_extractor]
    if model.roi_head.with_mask:
        extractors.append(model.roi_head.mask_roi_extractor)
    for extractor in extractors:
        for layer in extractor.roi_layers:
            if type(layer).__name__ != 'RoIAlign' or layer.pool_mode != 'avg':
                raise ExportError(f'model.roi_head: expected RoIAlign by average, found {layer}')
