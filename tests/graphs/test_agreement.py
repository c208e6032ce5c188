"""The comparison of detections sees what differs."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from fastvit_dense.graphs.agreement import compare_instances
from fastvit_dense.graphs.inputs import predict_picture

pytestmark = pytest.mark.integration


def test_comparison_sees_what_differs(job, file, exported):
    """A box moved, a mask emptied, a label changed: the check fails for each."""
    image = [('random', np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8))]
    kind = job.predictor.task.data_sample()
    expected = predict_picture(job.predictor.model, image[0][1], kind)
    same = predict_picture(exported(job, file), image[0][1], kind)
    assert all(line.passed for line in compare_instances([('x', expected, same)]))

    found = same.pred_instances
    moved, emptied, other = (found[torch.arange(len(found))] for _ in range(3))
    moved.bboxes = moved.bboxes + 0.3
    emptied.masks = [dict(emptied.masks[0], counts=empty_counts(emptied.masks[0]))] * len(found)
    other.labels = (other.labels + 1) % 3
    for instances in (moved, emptied, other):
        changed = kind(pred_instances=instances)
        assert not all(line.passed for line in compare_instances([('x', expected, changed)]))


def empty_counts(code):
    return coco_mask.encode(np.zeros(code['size'], np.uint8, order='F'))['counts']
