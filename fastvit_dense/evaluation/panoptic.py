"""Panoptic quality (Kirillov et al., CVPR 2019), computed by hotcoco."""

import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hotcoco import __version__ as hotcoco_version
from hotcoco.panoptic import PanopticEval
from mmengine.registry import METRICS
from PIL import Image
from torch import Tensor

from ..checkpoints.files import read_json, replacing
from ..datasets.formats.panoptic import entries_fault, id2rgb, read_panoptic
from ..datasets.picture_files import image_problem, read_picture_bytes
from ..errors import DataError, MissingFileError, PredictionError
from ..limits import JSON_BYTES
from .base import TaskMetric, as_dict
from .record import EvaluationResult
from .statistics import Segments, image_names

OFFSET = 1000  # mmdet's: the id of a predicted segment is its label + OFFSET * its number
VOID = 0
GROUPS = {'': 'All', '_th': 'Things', '_st': 'Stuff'}


@METRICS.register_module()
class PanopticMetric(TaskMetric):
    """Panoptic quality with the arguments of mmdet's `CocoPanopticMetric`.

    Names: `PQ`, `SQ`, `RQ`, of things `PQ_th`, ..., of stuff `PQ_st`, ...; in percent.

    Args:
        ann_file: Panoptic annotation file.
        seg_prefix: Folder of its PNGs.
        classwise: Taken, without effect: the numbers per class are in the result.
        format_only: Only write the predictions; needs `outfile_prefix`.
        outfile_prefix: Write `{prefix}.panoptic.json` and the PNGs to `{prefix}.panoptic`.
        nproc: Taken, without effect.
        backend_args: Taken, without effect: the files are local.
        collect_device: See `TaskMetric`.
        prefix: See `TaskMetric`.
        collect_dir: See `TaskMetric`.

    Raises:
        MissingFileError: There is no such file or folder.
        DataError: An argument or the annotation file is wrong.
    """

    def __init__(
        self,
        ann_file: str,
        seg_prefix: str,
        classwise: bool = False,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        nproc: int = 32,
        backend_args: dict | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if format_only and outfile_prefix is None:
            raise DataError('format_only needs outfile_prefix: where to write the predictions')
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.seg_prefix = seg_prefix
        self.truth = read_panoptic(ann_file, seg_prefix)
        self.ann_file = ann_file

    @property
    def category_ids(self) -> list[int]:
        """Category id of each label."""
        ids = {category['name']: category['id'] for category in self.truth['categories']}
        classes: Sequence[str] | None = (self.dataset_meta or {}).get('classes')
        if classes is None:
            return list(ids.values())
        absent = [name for name in classes if name not in ids]
        if absent:
            raise DataError(
                f'annotation file {self.ann_file}: no category {absent[0]!r} among the {len(ids)} '
                'there (the classes are metainfo.classes of the dataset)'
            )
        return [ids[name] for name in classes]

    def compact(self, sample: dict) -> dict:
        """Segments of one image, and their map as the bytes of a PNG.

        Args:
            sample: `img_id`, and `pred_panoptic_seg` with `sem_seg` (1, H, W): label + 1000 times
                a number; the number of classes and `ignore_index` are void.
        """
        where = f'image {sample.get("img_id")}'
        if 'pred_panoptic_seg' not in sample:
            raise PredictionError(f'{where}: no "pred_panoptic_seg"')
        predicted = as_dict(sample['pred_panoptic_seg'])
        ids: Any = predicted['sem_seg']
        ids = ids.cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
        ids = ids.reshape(ids.shape[-2:]).astype(np.int64)
        categories = self.category_ids
        labels = ids % OFFSET
        void = (labels == len(categories)) | (labels == predicted.get('ignore_index', -1))
        if (labels[~void] >= len(categories)).any():
            raise PredictionError(f'{where}: label {labels[~void].max()} is no class')
        # 0 is void in the file, so that the segments are numbered anew
        kept, places = np.unique(np.where(void, -1, ids), return_inverse=True)
        places = places.reshape(ids.shape) + (0 if void.any() else 1)
        kept = kept[kept >= 0]
        areas = np.bincount(places.ravel(), minlength=len(kept) + 1)[1:]
        buffer = io.BytesIO()
        Image.fromarray(id2rgb(places)).save(buffer, 'PNG')
        return {
            'id': sample['img_id'],
            'png': buffer.getvalue(),
            'segments': [
                {'id': k, 'category_id': categories[label], 'area': area}
                for k, (label, area) in enumerate(
                    zip((kept % OFFSET).tolist(), areas.tolist(), strict=True), 1
                )
            ],
        }

    def score(self, samples: list[dict]) -> EvaluationResult:
        """Panoptic quality over the images that were predicted."""
        if not samples:
            raise PredictionError('there are no images to score')
        samples = list({sample['id']: sample for sample in reversed(samples)}.values())[::-1]
        chosen = {sample['id'] for sample in samples}
        truth = {
            **self.truth,
            'images': [image for image in self.truth['images'] if image['id'] in chosen],
            'annotations': [a for a in self.truth['annotations'] if a['image_id'] in chosen],
        }
        if unknown := chosen - {a['image_id'] for a in truth['annotations']}:
            raise PredictionError(f'image {min(unknown)} is not in {self.ann_file}')
        with tempfile.TemporaryDirectory() as folder:
            written = write_panoptic(Path(folder), samples)
            found = self._qualities(truth, written, folder)
            parts = zip(_by_image(truth), _by_image(written), strict=True)
            by_image = {true['image']: self._qualities(true, part, folder) for true, part in parts}
        names = {c['id']: c['name'] for c in self.truth['categories']}
        per_class = [
            {'name': names[number]} | _class_row(found['per_class'].get(number, {}))
            for number in sorted(self.category_ids)
        ]
        return self.new_result(
            'instance',
            len(samples),
            metrics={
                f'{name}{ending}': _percent(found[group][name.lower()])
                for ending, group in GROUPS.items()
                for name in ('PQ', 'SQ', 'RQ')
            },
            per_class=per_class,
            statistics=self._statistics(samples, by_image),
            per_sample=[
                {'id': sample['id'], 'score': max(by_image[sample['id']]['All']['pq'], 0.0)}
                for sample in samples
            ],
            protocol={
                'rule': 'a segment is found by one of its category above IoU 0.5; void pixels and '
                'crowd regions ignored; means over the categories that occur',
                'categories': len(per_class),
                'image_score': 'panoptic quality of the image alone, 0-1',
                'evaluator': f'hotcoco {hotcoco_version}',
            },
        )

    def _qualities(self, truth: dict, written: dict, folder: str) -> dict[str, Any]:
        """Hotcoco's results of panoptic content of predictions whose PNGs lie in a folder."""
        evaluator = PanopticEval(truth, written, gt_folder=self.seg_prefix, pred_folder=folder)
        try:
            evaluator.evaluate()
        except (ValueError, OSError) as error:
            message = str(error).replace(f'{folder}/', 'predicted ')
            raise PredictionError(f'panoptic quality: {message}') from None
        return evaluator.results()

    def _statistics(self, samples: list[dict], by_image: dict[int, dict]) -> Segments:
        numbers = sorted(self.category_ids)
        things = {c['id'] for c in self.truth['categories'] if c['isthing']}
        found_of = [by_image[sample['id']] for sample in samples]
        rows = [[found['per_class'].get(i, {}) for i in numbers] for found in found_of]
        hits, extra, missed, overlaps = (
            np.array([[row.get(name, 0) for row in image] for image in rows])
            for name in ('tp', 'fp', 'fn', 'iou')
        )
        return Segments(
            image_names([sample['id'] for sample in samples]),
            overlaps,
            np.stack([hits, extra, missed]),
            np.array([i in things for i in numbers]),
        )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score, and write the files that were asked for."""
        if self.outfile_prefix is not None:
            _save(Path(f'{self.outfile_prefix}.panoptic'), results)
        return super().compute_metrics(results)

    def write_predictions(self, samples: list[dict]) -> None:
        """Write `panoptic.json`, and the PNGs to `panoptic`."""
        assert self.predictions_dir is not None
        _save(self.predictions_dir / 'panoptic', samples)

    def read_predictions(self, path: Path, dataset: Any = None) -> list[dict]:
        """Segments of all images of a panoptic result file, or of the folder that holds it.

        Args:
            path: `panoptic.json`, beside the folder `panoptic` of the PNGs.
            dataset: Config of the dataset; where it has `indices` a part of the images will do.

        Raises:
            MissingFileError: There is no such file.
            PredictionError: An entry or its PNG is wrong, or an image has none.
        """
        file = path / 'panoptic.json' if path.is_dir() else path
        try:
            content = read_json(file, JSON_BYTES)
        except FileNotFoundError:
            raise MissingFileError(f'no predictions at {file}') from None
        except ValueError as error:
            raise PredictionError(f'{file}: {error}') from None
        entries = content.get('annotations') if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise PredictionError(
                f'{file}: expected an object with a list "annotations", as panoptic results have, '
                f'found {type(content).__name__}'
            )
        images = {entry['image_id'] for entry in self.truth['annotations']}
        categories = {category['id'] for category in self.truth['categories']}
        if fault := entries_fault(entries, categories, images):
            raise PredictionError(f'{file}: {fault}')
        missing = images - {entry['image_id'] for entry in entries}
        if missing and (not isinstance(dataset, dict) or dataset.get('indices') is None):
            raise PredictionError(
                f'{file}: expected an entry for each of the {len(images)} images of '
                f'{self.ann_file}, found none of image {min(missing)} ({len(missing)} are missing)'
            )
        return [
            {
                'id': entry['image_id'],
                'png': _png(file.with_suffix('') / entry['file_name']),
                'segments': entry['segments_info'],
            }
            for entry in entries
        ]


def _png(path: Path) -> bytes:
    try:
        data = read_picture_bytes(path)
    except DataError as error:
        raise PredictionError(str(error)) from None
    if problem := image_problem(data):
        raise PredictionError(f'{path}: {problem}')
    return data


def _by_image(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Panoptic content of each image alone, with its id as `image`, by ascending id."""
    images = {image['id']: image for image in content.get('images', ())}
    return [
        content
        | {'image': entry['image_id'], 'annotations': [entry]}
        | ({'images': [images[entry['image_id']]]} if images else {})
        for entry in sorted(content['annotations'], key=lambda entry: entry['image_id'])
    ]


def _class_row(found: dict[str, Any]) -> dict[str, Any]:
    hits, extra, missed = (found.get(name, 0) for name in ('tp', 'fp', 'fn'))
    row: dict[str, Any] = {'objects': hits + missed}
    scored = hits + extra + missed > 0
    return row | {n.upper(): 100 * found[n] if scored else None for n in ('pq', 'sq', 'rq')}


def _percent(share: float) -> float:
    """Hotcoco writes -1 where there is nothing to score."""
    return 100 * float(share) if share >= 0 else float('nan')


def write_panoptic(folder: Path, samples: Sequence[dict]) -> dict[str, Any]:
    """Write the PNGs of compact samples; return the content of their result file."""
    folder.mkdir(parents=True, exist_ok=True)
    annotations = []
    for sample in samples:
        name = f'{sample["id"]:012d}.png'
        with replacing(folder / name) as part:
            Path(part).write_bytes(sample['png'])
        annotations.append(
            {'image_id': sample['id'], 'file_name': name, 'segments_info': sample['segments']}
        )
    return {'annotations': annotations}


def _save(folder: Path, samples: Sequence[dict]) -> None:
    content = write_panoptic(folder, samples)
    with replacing(folder.parent / f'{folder.name}.json') as part:
        Path(part).write_text(json.dumps(content), encoding='utf-8')
