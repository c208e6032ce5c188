"""Pictures as models take them, without a pipeline."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..compat.openmmlab import swaps_channels


def as_input(image: np.ndarray) -> Tensor:
    """A picture (H, W, 3), RGB, as a pipeline gives it: (3, H, W), BGR."""
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def predict_picture(model: nn.Module, image: np.ndarray, data_sample: type) -> Any:
    """Predict one picture in its own size, by the model's own preprocessing and post-processing.

    Args:
        model: In eval mode.
        image: (H, W, 3) uint8, RGB.
        data_sample: Type of the data sample that the model fills in.

    Returns:
        The data sample.
    """
    size = image.shape[:2]
    metainfo = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0), img_path='')
    batch = {'inputs': [as_input(image)], 'data_samples': [data_sample(metainfo=metainfo)]}
    with torch.inference_mode():
        return model.test_step(batch)[0]


@torch.inference_mode()
def normalized(model: nn.Module, image: np.ndarray) -> Tensor:
    """A picture as the model's backbone sees it, (1, 3, H, W).

    Args:
        model: With a `data_preprocessor` of mmengine, mmdet or mmseg, of which mean, deviation and
            order of channels are used, and nothing else.
        image: (H, W, 3) uint8, RGB.
    """
    from mmengine.model import ImgDataPreprocessor

    preprocessor = model.data_preprocessor
    mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
    normalize = ImgDataPreprocessor(
        mean=None if mean is None else mean.flatten().tolist(),
        std=None if std is None else std.flatten().tolist(),
        bgr_to_rgb=swaps_channels(preprocessor),
    )
    return normalize({'inputs': [as_input(image)], 'data_samples': None})['inputs']
