"""LVIS's AP (Gupta et al., CVPR 2019): a category counts where images were checked for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.registry import METRICS
from pycocotools.coco import COCO

from .calibration import calibrate
from .coco_matches import Evaluation
from .coco_matching import evaluate
from .coco_scores import mean_defined, summarize
from .diagnosis import Diagnosis
from .instance import InstanceMetric
from .record import EvaluationResult
from .statistics import Detections

DETECTIONS = 300  # of an image, over all categories
FREQUENCIES = {'r': 'rare', 'c': 'common', 'f': 'frequent'}
NAMES = {
    **{'mAP': 'AP', 'mAP_50': 'AP50', 'mAP_75': 'AP75'},
    **{'mAP_s': 'APs', 'mAP_m': 'APm', 'mAP_l': 'APl'},
    **{'AR@300': 'AR@300', 'AR_s@300': 'ARs@300', 'AR_m@300': 'ARm@300', 'AR_l@300': 'ARl@300'},
}


@METRICS.register_module()
class FederatedMetric(InstanceMetric):
    """LVIS's scores with the arguments of mmdet's `LVISMetric`, computed by hotcoco.

    Of a category count the images that hold it and those that are known not to
    (`neg_category_ids`); where not all objects are known (`not_exhaustive_category_ids`) a
    detection that matches none is no error. The 300 best detections of an image count. Labels
    count the categories by ascending id.

    Names: `{metric}_AP`, `_AP50`, `_AP75`, `_APs`, `_APm`, `_APl`, `_APr`, `_APc`, `_APf` (rare,
    common and frequent categories), `_AR@300`, `_ARs@300`, `_ARm@300`, `_ARl@300`; 0-1, -1 where
    undefined.

    Args:
        ann_file: LVIS annotation file.
        metric: `'bbox'`, `'segm'` or both.
        proposal_nums: Taken, without effect: LVIS has one limit.
        **kwargs: As of `InstanceMetric`.
    """

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = 'bbox',
        proposal_nums: int | Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, metric, proposal_nums=(DETECTIONS,), **kwargs)

    def _ids_of(self, truth: COCO, classes: Sequence[str] | None) -> list[int]:
        return sorted(truth.cats)

    def match(self, truth: COCO, samples: list[dict], metric: str) -> Evaluation:
        """Match and accumulate the `DETECTIONS` best of each image."""
        given = (self.category_ids, self.max_detections, self.iou_thresholds)
        best = [best_of(sample, DETECTIONS) for sample in samples]
        return evaluate(truth, best, metric, *given, federated=True)

    def summarize(self, found: Evaluation) -> dict[str, float]:
        """LVIS's numbers of one kind of overlap."""
        numbers = {NAMES[name]: value for name, value in summarize(found).items()}
        for name, chosen in self._by_frequency().items():
            numbers[name] = mean_defined(found.precision[:, :, chosen, 0, -1])
        return numbers

    def _rule(self) -> str:
        """One line on what is scored and how."""
        return (
            f'IoU 0.50–0.95; at most {DETECTIONS} detections an image, over all categories; a '
            'category counts in images that hold it or are known not to (federated); sizes by the '
            "annotations' areas, unmatched detections by their own; what is ignored neither found "
            'nor missed'
        )

    def _by_frequency(self) -> dict[str, np.ndarray]:
        """Numbers of the rare, common and frequent categories, by the name of their AP."""
        assert self.truth is not None
        letters = [self.truth.cats[i].get('frequency') for i in sorted(self.category_ids)]
        return {
            f'AP{letter}': np.flatnonzero([found == letter for found in letters])
            for letter in FREQUENCIES
        }

    def _diagnose(
        self, truth: COCO, samples: list[dict], evaluations: dict[str, Evaluation]
    ) -> dict[str, Any]:
        """Calibration alone: what was not looked for in an image is neither right nor wrong."""
        if not self.diagnose:
            return {}
        names = [truth.cats[category]['name'] for category in sorted(self.category_ids)]
        found = {kind: calibrate(evaluation, names) for kind, evaluation in evaluations.items()}
        return Diagnosis(calibration={k: v for k, v in found.items() if v}).to_dict()

    def score(self, samples: list[dict]) -> EvaluationResult:
        """LVIS's numbers over the images that were loaded."""
        result = super().score(samples)
        assert isinstance(result.statistics, Detections)
        result.statistics.names = ('AP', 'AP50', 'AP75')
        result.statistics.groups = self._by_frequency()
        result.protocol['max_detections'] = f'{DETECTIONS} of an image'
        return result


def best_of(sample: dict, count: int) -> dict:
    """The compact sample with its best detections alone."""
    if len(sample['labels']) <= count:
        return sample
    order = np.sort(np.argsort(-sample['scores'], kind='stable')[:count])
    cut = dict(sample)
    for name in ('boxes', 'scores', 'labels', 'mask_scores'):
        if name in sample:
            cut[name] = sample[name][order]
    if 'masks' in sample:
        cut['masks'] = [sample['masks'][i] for i in order]
    return cut
