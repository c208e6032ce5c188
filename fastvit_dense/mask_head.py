"""Mask R-CNN's mask head with masks that are encoded as they are pasted.

Imported by the configs that name it, because it imports mmdet.
"""

from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from numpy.typing import DTypeLike
from pycocotools import mask as coco_mask
from torch import Tensor

from .evaluation.masks import paste_masks_rle


class RunLengthMasks(list):
    """Run-length codes of masks of one size; decoded where mmdet's visualizer asks for pixels.

    Attributes:
        size: (height, width).
    """

    def __init__(self, codes: Iterable[dict], size: tuple[int, int]) -> None:
        super().__init__(codes)
        self.size = size

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        return RunLengthMasks(found, self.size) if isinstance(index, slice) else found

    def __add__(self, other: list) -> 'RunLengthMasks':
        return RunLengthMasks([*self, *other], self.size)

    def astype(self, dtype: DTypeLike) -> np.ndarray:
        """(N, H, W), as of an array."""
        masks = np.zeros((len(self), *self.size), dtype)
        for mask, code in zip(masks, self, strict=True):
            mask[:] = coco_mask.decode(code)
        return masks


@MODELS.register_module()
class RLEMaskHead(FCNMaskHead):
    """mmdet's `FCNMaskHead` whose predicted `masks` are run-length codes, not a tensor.

    On the CPU the same pixels, in tens of megabytes where a 4000x3000 image with 100 detections
    takes 1.2 GB. Arguments, training and weights are `FCNMaskHead`'s. mmdet's visualizer and its
    hook draw them; mmdet's test-time augmentation wants tensors: keep `FCNMaskHead` for it.
    """

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        labels: Tensor,
        img_meta: dict,
        rcnn_test_cfg: ConfigDict,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> RunLengthMasks:
        """Masks of one image.

        Args:
            mask_preds: (N, classes or 1, h, w) logits; probabilities if `activate_map`.
            bboxes: (N, 4) in pixels of the network's input; scaled to the original image in place
                if `rescale`, as mmdet does.
            labels: (N,).
            img_meta: `scale_factor` (w, h) and `ori_shape`.
            rcnn_test_cfg: `mask_thr_binary`.
            rescale: Paste into the original image instead of the network's input.
            activate_map: Whether `mask_preds` are probabilities already.

        Returns:
            N run-length codes.
        """
        probs = mask_preds if activate_map else mask_preds.sigmoid()
        if not self.class_agnostic:
            probs = probs[range(len(probs)), labels][:, None]
        height, width = img_meta['ori_shape'][:2]
        w_scale, h_scale = img_meta['scale_factor']
        if rescale:
            bboxes /= bboxes.new_tensor([w_scale, h_scale, w_scale, h_scale])
        else:
            height, width = round(height * h_scale), round(width * w_scale)
        size = (height, width)
        codes = paste_masks_rle(probs[:, 0], bboxes, size, rcnn_test_cfg.mask_thr_binary)
        return RunLengthMasks(codes, size)
