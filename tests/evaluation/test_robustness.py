"""mPC and rPC by their definition."""

import pytest

from fastvit_dense.evaluation.robustness import summarize


def test_means_worked_out_by_hand():
    scored = {
        'fog': [{'mIoU': 30.0}, {'mIoU': 20.0}],
        'snow': [{'mIoU': 10.0}, {'mIoU': 0.0}],
        'frost': [{'mIoU': 6.0}, {'mIoU': 0.0}],
    }
    found = summarize({'mIoU': 40.0}, scored, (1, 2))
    assert found['mPC'] == {'mIoU': pytest.approx((25 + 5 + 3) / 3)}
    assert found['rPC'] == {'mIoU': pytest.approx(11 / 40)}
    assert found['by_corruption']['snow'] == {'mIoU': [10.0, 0.0]}
    assert found['clean'] == {'mIoU': 40.0}
    assert found['strengths'] == [1, 2]


def test_what_is_undefined_has_no_mean():
    """COCO writes -1 where there is nothing to score."""
    scored = {'fog': [{'bbox_mAP_s': -1.0, 'bbox_mAP': 0.2}]}
    found = summarize({'bbox_mAP_s': -1.0, 'bbox_mAP': 0.0}, scored, (1,))
    assert found['mPC'] == {'bbox_mAP_s': None, 'bbox_mAP': 0.2}
    assert found['rPC'] == {'bbox_mAP_s': None, 'bbox_mAP': None}
    assert found['clean']['bbox_mAP_s'] is None
