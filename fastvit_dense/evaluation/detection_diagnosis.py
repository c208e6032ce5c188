"""Causes of lost AP: kinds of errors, calibration, doubts about the truth."""

from collections.abc import Mapping, Sequence

from pycocotools.coco import COCO

from .calibration import calibrate
from .coco_matches import Evaluation
from .detection_errors import breakdown, doubts, judge_detections
from .diagnosis import Diagnosis
from .metric_names import KINDS


def diagnose_detections(
    truth: COCO,
    samples: Sequence[dict],
    category_ids: Sequence[int],
    limit: int,
    found: Mapping[str, Evaluation],
) -> Diagnosis:
    """Kinds of errors, calibration and doubts about the truth.

    Args:
        truth: The ground truth.
        samples: Compact samples of `InstanceMetric`.
        category_ids: Category id of each label.
        limit: Detections of an image and a class that count.
        found: Evaluation by `'bbox'` and `'segm'`; other kinds are left out. The doubts are of the
            last.
    """
    diagnosis = Diagnosis()
    names = [truth.cats[category]['name'] for category in sorted(category_ids)]
    for kind, evaluation in found.items():
        if kind not in ('bbox', 'segm') or not truth.imgs:
            continue
        judged = judge_detections(truth, samples, kind, category_ids, limit)
        diagnosis.breakdowns.append(breakdown(judged, len(names), KINDS[kind]))
        diagnosis.doubts = list(doubts(judged, truth, category_ids))
        calibrated = calibrate(evaluation, names)
        if calibrated:
            diagnosis.calibration[kind] = calibrated
    return diagnosis
