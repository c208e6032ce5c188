"""Semantic segmentation: a class for every pixel, scored by mean IoU."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope
from PIL import Image
from torch import Tensor, nn

from ..checkpoints.files import replacing
from ..config.classes import set_num_classes
from ..config.loaders import datasets_of
from ..datasets.formats.records import Found
from ..evaluation.report.presentation import Presentation
from ..evaluation.report.references import (
    DEEPLABV3_ADE20K,
    DEEPLABV3_VOC,
    SEMANTIC,
    Published,
)
from ..graphs.agreement import Line, Pair, compare_label_maps
from ..graphs.common import Normalize
from ..graphs.inputs import predict_picture
from ..results.semantic import SemanticResult
from .base import Pictures, Task
from .own_data import own_splits
from .sample import (
    HALF,
    SAMPLE_ROOT,
    Schedule,
    as_list,
    schedule_of,
    shorten,
    shrink,
    split_loaders,
)
from .tiles import label_tiles

NOT_LABELLED = 'not labelled'  # pixels that count for no class
# By backbone, so that training stays under four minutes on two CPU cores; None: any other.
SCHEDULES = {
    't8': Schedule(5, 190, 2, 1e-3, HALF),
    't12': Schedule(2, 140, 2, 1e-3),
    's12': Schedule(2, 130, 2, 1e-3),
    'sa12': Schedule(2, 126, 2, 1e-3),
    'sa24': Schedule(1, 190, 2, 1e-3),
    'sa36': Schedule(1, 150, 2, 1e-3),
    'ma36': Schedule(1, 120, 2, 1e-3),
    'xxs': Schedule(2, 140, 2, 1e-3),
    'xs': Schedule(2, 120, 2, 1e-3),
    's': Schedule(1, 160, 2, 1e-3),
    '0.5': Schedule(2, 140, 2, 1e-3),
    '1.0': Schedule(1, 160, 2, 1e-3),
    None: Schedule(1, 44, 2, 1e-3),  # heads may be as heavy as UPerNet's
}


class SemanticTask(Task):
    """Semantic FPN and other segmentors, on datasets of mmseg."""

    name = 'semantic'
    dataset_base = 'BaseSegDataset'
    presentation = Presentation(
        title='Semantic segmentation',
        headlines=('mIoU', 'mAcc', 'aAcc', 'mDice'),
        columns=SEMANTIC.metrics,
        sample_score='mIoU {:.1f} %',
    )
    own_metrics = {'IoUMetric': 'SemanticMetric'}
    official_datasets = {'ADE20KDataset': 'ADE20K', 'PascalVOCDataset': 'PASCAL VOC 2012'}
    published = SEMANTIC
    macs_size = (512, 512)
    encoded_arrays = ('labels',)
    demo_config = 'semfpn_fastvit_t8'
    demo_options = ('test_evaluator.iou_metrics=[mIoU,boundary_mIoU]',)
    counted = 'pixels'

    def result(
        self,
        sample: Any,
        image: np.ndarray,
        model: Any,
        classes: tuple[str, ...],
        palette: Any,
    ) -> SemanticResult:
        """Class of every pixel; see `Task.result`."""
        labels = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
        return SemanticResult(labels.astype(np.int64, copy=False), classes, palette, image)

    def predict_tiles(
        self, predictor: Any, image: np.ndarray, rows: list[list[Any]], batch_size: int
    ) -> SemanticResult:
        """Blend the scores of every pixel; see `Task.predict_tiles`."""

        def scores(tiles: list[Any]) -> Iterator[Tensor]:
            parts = [image[top:bottom, left:right] for left, top, right, bottom in tiles]
            for start in range(0, len(parts), batch_size):
                for sample in predictor.samples(parts[start : start + batch_size]):
                    yield sample.seg_logits.data

        first = rows[0]
        overlaps = [one[2] - other[0] for one, other in pairwise(first)]
        overlaps += [one[0][3] - other[0][1] for one, other in pairwise(rows)]
        labels = label_tiles(
            ((row, scores(row)) for row in rows),
            image.shape[:2],
            ramp=max(overlaps),
            threshold=_threshold(predictor.model),
        )
        return SemanticResult(labels, predictor.classes, predictor.palette, image)

    def fill_sample(self, sample: Any, result: SemanticResult) -> Any:
        """See `Task.fill_sample`."""
        from mmengine.structures import PixelData

        labels = torch.from_numpy(result.labels)[None]
        sample.set_data({'pred_sem_seg': PixelData(data=labels)})
        return sample

    def annotate(self, result: Any, base: Path, dataset: ConfigDict) -> None:
        """Write a mask as the dataset reads them: see `Task.annotate`."""
        result.save_labels(f'{base}.png', offset=_offset(dataset))

    def collect_annotations(
        self,
        records: Any,
        path: Path,
        classes: Sequence[str],
        ids: Sequence[int],
        threshold: float | None,
        dataset: ConfigDict,
    ) -> str:
        """Write the names of the masks' values; see `Task.collect_annotations`."""
        path = path.with_name('classes.json')
        names = dict(enumerate(classes, start=_offset(dataset)))
        with replacing(path) as part:
            part.write_text(json.dumps(names, ensure_ascii=False), encoding='utf-8')
        return f'masks in {path.parent / "masks"}, the names of their values in {path}'

    def draw(
        self, cfg: Config, dataset: ConfigDict, ids: Iterable[Any], predictions: Path
    ) -> Pictures:
        """See `Task.draw`; the ids are paths of images."""
        from ..evaluation.label_maps import read_label_map
        from ..evaluation.saved_label_maps import saved_label_maps
        from ..visualization.layout import read_picture, side_by_side
        from ..visualization.semantic import draw_semantic

        scope = dataset.get('_scope_') or cfg.get('default_scope') or 'mmseg'
        with DefaultScope.overwrite_default_scope(scope):
            built = DATASETS.build({**dataset, 'pipeline': []})
            load = TRANSFORMS.build(dict(type='LoadAnnotations'))
        infos = {info['img_path']: info for info in map(built.get_data_info, range(len(built)))}
        classes, palette = built.metainfo['classes'], built.metainfo.get('palette')
        image_dir = built.data_prefix.get('img_path')
        files, by_predict = saved_label_maps(predictions, list(infos), image_dir)
        first = int(bool(built.metainfo.get('reduce_zero_label')) and not by_predict)
        for path in ids:
            image = read_picture(Path(path))
            truth = load(infos[path])['gt_seg_map'].astype(np.int64)
            found = read_label_map(files[path]) - first
            pictures = {
                'prediction': draw_semantic(image, found, classes, palette),
                'ground truth': draw_semantic(image, truth, classes, palette),
            }
            yield Path(path).name, side_by_side(pictures)

    def published_for(self, cfg: Config) -> Published:
        """Those of DeepLabv3 were measured in protocols of their own, on two datasets."""
        head = cfg.model.get('decode_head')
        if not isinstance(head, dict) or head.get('type') != 'DeepLabV3Head':
            return SEMANTIC
        dataset = next(datasets_of(cfg, ['test_dataloader']))
        return DEEPLABV3_ADE20K if dataset.type == 'ADE20KDataset' else DEEPLABV3_VOC

    def draw_input(
        self, image: np.ndarray, sample: Any, classes: Sequence[str], palette: Any
    ) -> tuple[Image.Image, Counter[str]]:
        """See `Task.draw_input`."""
        from ..visualization.semantic import draw_semantic

        labels = sample.gt_sem_seg.data[0].numpy().astype(np.int64)
        values, counts = np.unique(labels, return_counts=True)
        names = [classes[v] if 0 <= v < len(classes) else NOT_LABELLED for v in values]
        counted: Counter[str] = Counter()
        for name, count in zip(names, counts.tolist(), strict=True):
            counted[name] += count
        return draw_semantic(image, labels, classes, palette), counted

    def legend(self, classes: Sequence[str], palette: Any) -> dict[str, tuple[int, int, int]]:
        """See `Task.legend`."""
        from ..visualization.palette import class_color

        colors = palette or [class_color(label) for label in range(len(classes))]
        return dict(zip(classes, map(tuple, colors), strict=False))

    def config_for(self, found: Found) -> str | None:
        """See `Task.config_for`."""
        return 'finetune/semfpn_fastvit_sa12' if found.mask_classes else None

    def make_sample_data(self, root: str | Path, force: bool = False) -> None:
        """Write `ade20k` into the folder of the sample data."""
        from ..datasets.sample import make_sample_data

        make_sample_data(root, force, trees=['ade20k'])

    def use_sample_data(self, cfg: Config) -> None:
        """See `Task.use_sample_data`."""
        from ..datasets.sample import SAMPLE_SEMANTIC_CLASSES, SAMPLE_SEMANTIC_PALETTE

        self.make_sample_data(SAMPLE_ROOT)
        root = SAMPLE_ROOT / 'ade20k/ADEChallengeData2016'
        for loader, split in split_loaders(train='training', val='validation'):
            for dataset in datasets_of(cfg, [loader]):
                dataset.update(
                    type='BaseSegDataset',
                    reduce_zero_label=True,
                    data_root=str(root),
                    ann_file='',
                    img_suffix='.jpg',
                    seg_map_suffix='.png',
                    data_prefix=ConfigDict(
                        img_path=f'images/{split}', seg_map_path=f'annotations/{split}'
                    ),
                    metainfo=ConfigDict(
                        classes=SAMPLE_SEMANTIC_CLASSES,
                        palette=[list(color) for color in SAMPLE_SEMANTIC_PALETTE],
                    ),
                )
                for step in dataset.pipeline:
                    step.pop('reduce_zero_label', None)  # the dataset's holds
        set_num_classes(cfg.model, len(SAMPLE_SEMANTIC_CLASSES))
        head = cfg.model.get('decode_head')
        known = isinstance(head, dict) and head.get('type') in ('FPNHead', 'DeepLabV3Head')
        if known:
            for loss in as_list(head.get('loss_decode')):
                _weigh_objects(loss)
        schedule = schedule_of(cfg, SCHEDULES, known)
        shrink(cfg, schedule.scale)
        shorten(cfg, schedule)

    def use_data(
        self, cfg: Config, found: Found, folder: Path, classes: Sequence[str] | None = None
    ) -> None:
        """See `Task.use_data`; links to the pictures and class masks are written."""
        from ..datasets.mask_writing import palette_of, with_masks
        from ..datasets.own_data import prepare_masks

        found = with_masks(found, classes)
        files, suffix = prepare_masks(found, folder)
        for loader, split in own_splits(found):
            for dataset in datasets_of(cfg, [loader]):
                dataset.update(
                    type='BaseSegDataset',
                    reduce_zero_label=False,
                    data_root=os.path.abspath(files),
                    ann_file='',
                    img_suffix=suffix,
                    seg_map_suffix='.png',
                    data_prefix=ConfigDict(
                        img_path=f'images/{split}', seg_map_path=f'masks/{split}'
                    ),
                    metainfo=ConfigDict(
                        classes=found.mask_classes, palette=palette_of(len(found.mask_classes))
                    ),
                )
                for step in dataset.pipeline:
                    step.pop('reduce_zero_label', None)  # the dataset's holds

    def graph(self, normalize: Normalize, model: Any, with_mano: bool = False) -> nn.Module:
        """See `Task.graph`."""
        from ..graphs.segmentor import SegmentorGraph

        return SegmentorGraph(normalize, model)

    def expected_outputs(self, model: Any, image: np.ndarray) -> dict[str, np.ndarray]:
        """Logits of every pixel."""
        sample = predict_picture(model, image, self.data_sample())
        return {'logits': sample.seg_logits.data[None].numpy()}

    def post_processing(self, network: Any, model: ConfigDict) -> nn.Module:
        """See `Task.post_processing`."""
        return _LabelPixels(network, model['decode_head'])

    def data_sample(self) -> type:
        """Return mmseg's."""
        from mmseg.structures import SegDataSample

        return SegDataSample

    def compare(self, pairs: Sequence[Pair]) -> Iterator[Line]:
        """See `Task.compare`."""
        yield from compare_label_maps(pairs)


def _weigh_objects(loss: ConfigDict) -> None:
    """Let objects count four times: textures fill the scenes, and are learnt first."""
    from ..datasets.sample import SAMPLE_CLASSES, SAMPLE_SEMANTIC_CLASSES

    if loss.get('type') == 'CrossEntropyLoss' and not loss.get('use_sigmoid'):
        loss.avg_non_ignore = False  # with weights mmseg leaves ignored pixels out in any case
        loss.class_weight = [
            2.0 if name in SAMPLE_CLASSES else 0.5 for name in SAMPLE_SEMANTIC_CLASSES
        ]


def _offset(dataset: ConfigDict) -> int:
    """Value of the first class in masks that a dataset reads."""
    return int(bool(dataset.get('reduce_zero_label')))


def _threshold(model: Any) -> float:
    """Of the probability of a head with one output."""
    settings = getattr(model, 'post_processing', None)
    holder = settings.settings if settings is not None else model
    return float(holder.decode_head.threshold or 0.3)


class _LabelPixels(nn.Module):
    """Label maps from the logits of an exported segmentor, by mmseg's own post-processing."""

    def __init__(self, network: Any, head: ConfigDict) -> None:
        super().__init__()
        self.network = network
        self.settings = SimpleNamespace(
            align_corners=head.get('align_corners', False),
            decode_head=SimpleNamespace(threshold=head.get('threshold') or 0.3),
        )

    def forward(self, images: list[Tensor], data_samples: list[Any]) -> list[Any]:
        from mmseg.models import BaseSegmentor

        label = BaseSegmentor.postprocess_result
        found = self.network.each([image.numpy() for image in images])
        return [
            label(self.settings, torch.from_numpy(outputs['logits']), [sample])[0]
            for outputs, sample in zip(found, data_samples, strict=True)
        ]
