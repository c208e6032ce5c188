"""SSDLite as CVNets has it: its further maps, its predictors, its anchors.

Published descriptions: SSD (arXiv 1512.02325), SSDLite (MobileNetV2, arXiv 1801.04381, section
6.2), MobileViT (arXiv 2110.02178, section 4.2). Training targets, loss, box coding and suppression
are those of mmdet's `SSDHead`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmdet.models.dense_heads import SSDHead
from mmdet.models.task_modules.prior_generators import SSDAnchorGenerator
from mmengine.model import BaseModule
from mmengine.registry import MODELS, TASK_UTILS
from torch import Tensor, nn

_XAVIER = dict(type='Xavier', layer='Conv2d', distribution='uniform', bias=0)


@MODELS.register_module()
class SSDLiteNeck(BaseModule):
    """Six maps from the last two of a backbone.

    The backbone's maps get the wanted channels by 1x1 convolutions. Each further map is the one
    before it through a separable 3x3 convolution of stride 2, from the backbone's own last map on;
    the last is the mean over the whole picture.

    Args:
        in_channels: Of the backbone's maps, from high to low resolution.
        out_channels: Of all maps, from high to low resolution.
        norm_cfg: Config dict of a norm.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or _XAVIER)
        norm_cfg = norm_cfg or dict(type='BN')
        count = len(in_channels)
        self.projections = nn.ModuleList(
            ConvModule(before, after, 1, norm_cfg=norm_cfg)
            for before, after in zip(in_channels, out_channels[:count], strict=True)
        )
        *widths, last = [in_channels[-1], *out_channels[count:]]
        self.extra_layers = nn.ModuleList(
            DepthwiseSeparableConvModule(
                before, after, 3, stride=2, padding=1, norm_cfg=norm_cfg, dw_act_cfg=None
            )
            for before, after in pairwise(widths)
        )
        pooled = ConvModule(widths[-1], last, 1, bias=False)
        self.extra_layers.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), pooled))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Give (B, out_channels[i], H_i, W_i) for each level; the last is 1 x 1."""
        outputs = [project(x) for project, x in zip(self.projections, maps, strict=True)]
        x = maps[-1]
        for layer in self.extra_layers:
            x = layer(x)
            outputs.append(x)
        return tuple(outputs)


@MODELS.register_module()
class SSDLiteHead(SSDHead):
    """mmdet's `SSDHead` with one separable convolution for the boxes and classes of each map.

    The last map is one cell and gets a 1x1 convolution. Of each anchor's outputs the first four
    are the box, the next the classes, and the last the background.

    Args:
        kwargs: As `SSDHead`, of which `stacked_convs`, `feat_channels` and `use_depthwise` have no
            effect.
    """

    def __init__(self, norm_cfg: dict | None = None, **kwargs: Any) -> None:
        super().__init__(norm_cfg=norm_cfg or dict(type='BN'), **kwargs)
        self.loss_cls = None  # which mmdet's prediction looks at, and its SSDHead does not set

    def _init_layers(self) -> None:
        outputs = [count * (4 + self.cls_out_channels) for count in self.num_base_priors]
        *widths, last = self.in_channels
        self.predictors = nn.ModuleList(
            DepthwiseSeparableConvModule(
                width,
                count,
                3,
                padding=1,
                norm_cfg=None,
                act_cfg=None,
                dw_norm_cfg=self.norm_cfg,
                dw_act_cfg=None,
            )
            for width, count in zip(widths, outputs, strict=False)
        )
        self.predictors.append(nn.Conv2d(last, outputs[-1], 1))

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Give class scores and box deltas of every map.

        Args:
            x: Maps (B, in_channels[i], H_i, W_i).

        Returns:
            Scores (B, anchors * (classes + 1), H_i, W_i) and deltas (B, anchors * 4, H_i, W_i).
        """
        scores, deltas = [], []
        for predict, feature, count in zip(self.predictors, x, self.num_base_priors, strict=True):
            found = predict(feature)
            # not flatten: it would fix the size in an ONNX file
            batch, _, height, width = found.shape
            found = found.reshape(batch, count, 4 + self.cls_out_channels, height, width)
            deltas.append(found[:, :, :4].reshape(batch, -1, height, width))
            scores.append(found[:, :, 4:].reshape(batch, -1, height, width))
        return scores, deltas


@TASK_UTILS.register_module()
class SSDLiteAnchorGenerator(SSDAnchorGenerator):
    """mmdet's `SSDAnchorGenerator` whose anchors are no larger than the picture.

    Args:
        input_size: Side of the picture in pixels.
        kwargs: As `SSDAnchorGenerator`, `min_sizes` and `max_sizes` included.
    """

    def __init__(self, input_size: int, **kwargs: Any) -> None:
        self.largest = input_size
        super().__init__(input_size=input_size, scale_major=False, **kwargs)

    def gen_base_anchors(self) -> list[Tensor]:
        """Anchors (N, 4) x1, y1, x2, y2 of each level about the middle of its first cell."""
        limited = []
        for boxes in super().gen_base_anchors():
            centre = (boxes[:, :2] + boxes[:, 2:]) / 2
            half = (boxes[:, 2:] - boxes[:, :2]).clamp(max=self.largest) / 2
            limited.append(torch.cat([centre - half, centre + half], 1))
        return limited
