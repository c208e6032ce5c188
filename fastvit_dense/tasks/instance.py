"""Instance segmentation: boxes and masks, scored as COCO does."""

import copy
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from PIL import Image
from torch import Tensor, nn

from ..config.classes import set_num_classes
from ..config.loaders import datasets_of, evaluators_of
from ..datasets.formats.records import Found, with_classes
from ..errors import DataError
from ..evaluation.report.presentation import Presentation
from ..evaluation.report.references import (
    INSTANCE,
    MASK_RCNN_RANGE_AUGMENT,
    SSDLITE,
    Published,
    backbone_arch,
)
from ..graphs.agreement import MIN_DETECTIONS, Line, Pair, compare_instances
from ..graphs.common import Normalize
from ..results.instance import InstanceResult
from .base import Pictures, Task, test_scale
from .own_data import own_splits
from .sample import (
    HALF,
    SAMPLE_ROOT,
    Schedule,
    as_list,
    grow_layer_scales,
    schedule_of,
    shorten,
    shrink,
    split_loaders,
)
from .tiles import merge_instances

# models that the schedules are made for
KNOWN = ('MaskRCNN', 'FasterRCNN', 'SingleStageDetector')
# By backbone, so that training takes some minutes on two CPU cores; None: any other.
SCHEDULES = {
    't8': Schedule(2, 140, 2, 3e-4),
    't12': Schedule(1, 200, 2, 3e-4),
    's12': Schedule(1, 200, 2, 3e-4),
    'sa12': Schedule(1, 200, 2, 3e-4),
    'sa24': Schedule(2, 170, 2, 5e-4, HALF),
    'sa36': Schedule(1, 110, 2, 3e-4),
    'ma36': Schedule(1, 80, 2, 3e-4),
    'xxs': Schedule(2, 140, 2, 3e-4),
    'xs': Schedule(2, 140, 2, 3e-4),
    's': Schedule(1, 160, 2, 3e-4),
    '0.5': Schedule(2, 140, 2, 3e-4),
    '1.0': Schedule(1, 160, 2, 3e-4),
    None: Schedule(1, 80, 2, 3e-4),
}


class InstanceTask(Task):
    """Mask R-CNN and its kin, detectors without masks included, on datasets of mmdet."""

    name = 'instance'
    dataset_base = 'BaseDetDataset'
    presentation = Presentation(
        title='Instance segmentation',
        headlines=('bbox_mAP', 'segm_mAP', 'bbox_mAP_50', 'segm_mAP_50'),
        # of LVIS, and of panoptic segmentation
        alternatives=(
            'bbox_AP',
            'segm_AP',
            'segm_APr',
            'segm_APf',
            'PQ',
            'SQ',
            'RQ',
            'PQ_th',
            'PQ_st',
        ),
        columns=INSTANCE.metrics,
        titles={'PQ': 'Panoptic segmentation'},
    )
    own_metrics = {
        'CocoMetric': 'InstanceMetric',
        'LVISMetric': 'FederatedMetric',
        'CocoPanopticMetric': 'PanopticMetric',
    }
    official_datasets = {'CocoDataset': 'COCO'}
    published = INSTANCE
    macs_size = (800, 1280)
    unsupported_formats = {
        'coreml': 'Core ML has no RoIAlign and no box counts that follow the image, which '
        'detectors need; --part backbone exports its backbone'
    }
    demo_config = 'maskrcnn_fastvit_sa24'
    demo_options = ('test_evaluator.metric=[boundary,bbox,segm]',)

    def result(
        self,
        sample: Any,
        image: np.ndarray,
        model: Any,
        classes: tuple[str, ...],
        palette: Any,
    ) -> InstanceResult:
        """Boxes and masks, best first; see `Task.result`."""
        predicted = sample.pred_instances.cpu()
        order = predicted.scores.argsort(descending=True, stable=True)
        rles = None
        if 'masks' in predicted:
            from ..evaluation.masks import encode_masks

            masks = predicted.masks
            codes = masks if isinstance(masks, list) else encode_masks(masks)
            rles = [codes[i] for i in order.tolist()]
        return InstanceResult(
            boxes=predicted.bboxes[order].float().numpy(),
            scores=predicted.scores[order].float().numpy(),
            labels=predicted.labels[order].numpy(),
            rles=rles,
            classes=classes,
            image=image,
        )

    def predict_tiles(
        self, predictor: Any, image: np.ndarray, rows: list[list[Any]], batch_size: int
    ) -> InstanceResult:
        """Join the instances that borders cut; see `Task.predict_tiles`."""
        tiles = [tile for row in rows for tile in row]
        parts = (image[top:bottom, left:right] for left, top, right, bottom in tiles)
        found = list(predictor.stream(parts, batch_size))
        return merge_instances(found, tiles, image)

    def fill_sample(self, sample: Any, result: InstanceResult) -> Any:
        """See `Task.fill_sample`."""
        from mmengine.structures import InstanceData

        sample.pred_instances = InstanceData(
            bboxes=torch.from_numpy(result.boxes),
            scores=torch.from_numpy(result.scores),
            labels=torch.from_numpy(result.labels),
        )
        if result.rles is not None:
            sample.pred_instances.masks = result.rles
        return sample

    def annotate(self, result: Any, base: Path, dataset: ConfigDict) -> None:
        """All pictures have one file: there is nothing to write."""

    def collect_annotations(
        self,
        records: Any,
        path: Path,
        classes: Sequence[str],
        ids: Sequence[int],
        threshold: float | None,
        dataset: ConfigDict,
    ) -> str:
        """Write a COCO file; see `Task.collect_annotations`."""
        from ..results.coco_file import write_coco

        limit = InstanceResult.score_threshold if threshold is None else threshold
        images, count = write_coco(records, path, classes, ids, limit)
        return f'{count} annotations of {images} pictures, scores from {limit:g} on: {path}'

    def draw(
        self, cfg: Config, dataset: ConfigDict, ids: Iterable[Any], predictions: Path
    ) -> Pictures:
        """See `Task.draw`; the ids are those of the annotation file."""
        evaluators = evaluators_of(cfg, 'test_evaluator')
        panoptic = next((e for e in evaluators if e.get('seg_prefix')), None)
        if panoptic:
            from .panoptic import draw_panoptic

            return draw_panoptic(panoptic, dataset, ids, predictions)
        ann_file = next((e['ann_file'] for e in evaluators if e.get('ann_file')), None)
        if not ann_file:
            raise DataError('test_evaluator.ann_file is not set')
        from .instance_pictures import draw_saved_instances

        return draw_saved_instances(ann_file, dataset, ids, predictions)

    def published_for(self, cfg: Config) -> Published:
        """Those of SSDLite, and of MobileViT, were measured in their own protocols."""
        head = cfg.model.get('bbox_head')
        if isinstance(head, dict) and head.get('type') == 'SSDLiteHead':
            return SSDLITE
        is_mobilevit = (backbone_arch(cfg) or '').startswith('mobilevit-')
        return MASK_RCNN_RANGE_AUGMENT if is_mobilevit else INSTANCE

    def draw_input(
        self, image: np.ndarray, sample: Any, classes: Sequence[str], palette: Any
    ) -> tuple[Image.Image, Counter[str]]:
        """Boxes, and masks where they are read; see `Task.draw_input`."""
        from ..visualization.instance import draw_instances

        truth = sample.gt_instances
        boxes = getattr(truth.bboxes, 'tensor', truth.bboxes).numpy()
        masks = truth.masks.to_ndarray().astype(bool) if 'masks' in truth else None
        labels = truth.labels.numpy()
        picture = draw_instances(image, boxes, labels, classes, masks)
        return picture, Counter(classes[label] for label in labels)

    def legend(self, classes: Sequence[str], palette: Any) -> dict[str, tuple[int, int, int]]:
        """See `Task.legend`."""
        from ..visualization.palette import class_color

        return {name: class_color(label) for label, name in enumerate(classes)}

    def config_for(self, found: Found) -> str | None:
        """See `Task.config_for`."""
        if not found.objects:
            return None
        kind = 'fasterrcnn' if found.boxes_alone == found.objects else 'maskrcnn'
        return f'finetune/{kind}_fastvit_sa12'

    def make_sample_data(self, root: str | Path, force: bool = False) -> None:
        """Write `coco` into the folder of the sample data."""
        from ..datasets.sample import make_sample_data

        make_sample_data(root, force, trees=['coco'])

    def use_sample_data(self, cfg: Config) -> None:
        """See `Task.use_sample_data`."""
        from ..datasets.sample import SAMPLE_CLASSES

        self.make_sample_data(SAMPLE_ROOT)
        root = SAMPLE_ROOT / 'coco'
        for loader, split in split_loaders():
            for dataset in datasets_of(cfg, [loader]):
                dataset.update(
                    type='CocoDataset',
                    data_root=f'{root}/',
                    ann_file=f'annotations/instances_{split}2017.json',
                    data_prefix=ConfigDict(img=f'{split}2017/'),
                    metainfo=ConfigDict(classes=SAMPLE_CLASSES),
                )
        for name in ('val_evaluator', 'test_evaluator'):
            for evaluator in evaluators_of(cfg, name):
                evaluator.ann_file = f'{root}/annotations/instances_val2017.json'
        set_num_classes(cfg.model, len(SAMPLE_CLASSES))
        schedule = schedule_of(cfg, SCHEDULES, known=cfg.model.get('type') in KNOWN)
        shrink(cfg, schedule.scale)
        _fewer_proposals(cfg.model)
        shorten(cfg, schedule)
        grow_layer_scales(cfg)

    def use_data(
        self, cfg: Config, found: Found, folder: Path, classes: Sequence[str] | None = None
    ) -> None:
        """See `Task.use_data`; annotations are written as COCO's, pictures stay where they are."""
        from ..datasets.own_data import prepare_coco

        if not found.classes:
            raise DataError(
                f'{found.root}: expected objects, found class masks, which do not tell one object '
                'from another: they train semfpn_fastvit_t8 and its kin'
            )
        masks = _reads_masks(cfg)
        boxes = found.boxes_alone
        if masks and boxes == found.objects:
            raise DataError(
                f'{found.root}: expected objects with outlines, which {cfg.model.type} learns '
                f'masks from, found {boxes} boxes alone; boxes train {_of_boxes(cfg)}'
            )
        if masks and boxes:
            found.notes.append(f'{boxes} objects without outline get the mask of their whole box')
        if classes:
            found = with_classes(found, classes)
        files, root = prepare_coco(found, folder, masks)
        for loader, split in own_splits(found):
            ann_file = os.path.abspath(files / f'{split}.json')
            for dataset in datasets_of(cfg, [loader]):
                dataset.update(
                    type='CocoDataset',
                    data_root=str(root),
                    ann_file=ann_file,
                    data_prefix=ConfigDict(img=''),
                    metainfo=ConfigDict(classes=found.classes),
                )
            for evaluator in evaluators_of(cfg, loader.replace('dataloader', 'evaluator')):
                evaluator.ann_file = ann_file

    def input_size(self, cfg: Config) -> tuple[int, int]:
        """Short and long side of the test scale, which may stand in either order."""
        scale = test_scale(cfg)
        return min(scale), max(scale)

    def graph(self, normalize: Normalize, model: Any, with_mano: bool = False) -> nn.Module:
        """See `Task.graph`."""
        from ..graphs.detector import DetectorGraph
        from ..graphs.single_stage import SingleStageGraph

        graph = SingleStageGraph if hasattr(model, 'bbox_head') else DetectorGraph
        return graph(normalize, model, model.data_preprocessor.pad_size_divisor)

    def post_processing(self, network: Any, model: ConfigDict) -> nn.Module:
        """See `Task.post_processing`."""
        of_masks = model['test_cfg'].get('rcnn') or {}
        return _PasteMasks(network, of_masks.get('mask_thr_binary', 0.5))

    def data_sample(self) -> type:
        """Return mmdet's."""
        from mmdet.structures import DetDataSample

        return DetDataSample

    def compare(self, pairs: Sequence[Pair]) -> Iterator[Line]:
        """See `Task.compare`."""
        yield from compare_instances(pairs)

    def recheck(self, model: Any, lines: Sequence[Line]) -> nn.Module | None:
        """A copy that keeps detections of any score, where too few could be compared."""
        if lines[-1].value >= MIN_DETECTIONS:
            return None
        changed = copy.deepcopy(model)
        head = changed.bbox_head if hasattr(changed, 'bbox_head') else changed.roi_head
        for settings in (head.test_cfg, changed.test_cfg.get('rcnn', changed.test_cfg)):
            settings.score_thr = 0.0
        return changed


class _PasteMasks(nn.Module):
    """Boxes and masks of an exported detector in the size of the original image."""

    def __init__(self, network: Any, mask_threshold: float) -> None:
        super().__init__()
        self.network = network
        self.mask_threshold = mask_threshold

    def forward(self, images: list[Tensor], data_samples: list[Any]) -> list[Any]:
        found = self.network.each([image.numpy() for image in images])
        return [
            self.predict(outputs, sample)
            for outputs, sample in zip(found, data_samples, strict=True)
        ]

    def predict(self, outputs: dict[str, np.ndarray], sample: Any) -> Any:
        """Fill in the data sample of one image."""
        from mmengine.structures import InstanceData

        from ..evaluation.masks import paste_masks_rle

        found = {name: torch.from_numpy(array) for name, array in outputs.items()}
        width_scale, height_scale = sample.metainfo.get('scale_factor', (1.0, 1.0))
        scale = found['boxes'].new_tensor([width_scale, height_scale] * 2)
        instances = InstanceData(
            bboxes=found['boxes'] / scale, scores=found['scores'], labels=found['labels']
        )
        if 'masks' in found:
            instances.masks = paste_masks_rle(
                found['masks'], instances.bboxes, sample.ori_shape[:2], self.mask_threshold
            )
        sample.pred_instances = instances
        return sample


def _reads_masks(cfg: Config) -> bool:
    """Tell whether the training pipeline of a config reads masks."""
    training = next(datasets_of(cfg, ['train_dataloader']), None)
    return any(step.get('with_mask') for step in (training or {}).get('pipeline') or ())


def _of_boxes(cfg: Config) -> str:
    """Name the config that learns boxes with the same backbone."""
    arch = str(cfg.model.get('backbone', {}).get('arch'))
    return f'fasterrcnn_fastvit_{arch if arch in SCHEDULES else "sa12"}'


def _fewer_proposals(model: ConfigDict) -> None:
    """Fewer proposals and RoIs: they are most of the work at this image size."""
    train, test = model.get('train_cfg') or {}, model.get('test_cfg') or {}
    for stage in as_list(train.get('rcnn')):
        if 'num' in stage.get('sampler', {}):
            stage.sampler.num = 32
    for proposals in (train.get('rpn_proposal'), test.get('rpn')):
        if proposals:
            proposals.nms_pre = 400
            proposals.max_per_img = 100
