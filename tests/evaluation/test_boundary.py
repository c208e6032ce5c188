"""Boundaries against plain erosion."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy.ndimage import binary_erosion

from fastvit_dense.evaluation.boundary import boundary


@pytest.mark.parametrize('size', [(40, 60), (170, 260)])
@pytest.mark.parametrize('share', [0.0, 0.5, 0.97, 1.0])
def test_boundary_is_what_erosion_takes(size, share):
    random = np.random.default_rng(0)
    mask = np.kron(random.random((4, 4)) < share, np.ones((size[0] // 4, size[1] // 4))) > 0
    mask = np.pad(mask, [(0, side - length) for side, length in zip(size, mask.shape, strict=True)])
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    width = max(1, round(0.02 * float(np.hypot(*size))))
    inner = binary_erosion(np.pad(mask, width), np.ones((2 * width + 1,) * 2))
    expected = mask & ~inner[width:-width, width:-width]
    np.testing.assert_array_equal(coco_mask.decode(boundary(code)), expected)
