"""DeepLabv3's head (Chen et al. 2017, arXiv 1706.05587, section 3.3)."""

from typing import Any

from mmcv.cnn import ConvModule
from mmengine.registry import MODELS
from mmseg.models.decode_heads import ASPPHead


@MODELS.register_module()
class DeepLabV3Head(ASPPHead):
    """mmseg's `ASPPHead` whose maps are joined by a 1x1 convolution, as in the paper.

    mmseg joins them by 3x3, nine times the weights. Arguments and everything else are
    `ASPPHead`'s.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bottleneck = ConvModule(
            (len(self.dilations) + 1) * self.channels,
            self.channels,
            1,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )
