"""Saved predictions in the official formats, and scoring them without a model."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import ConfigDict
from mmengine.registry import METRICS
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from ..checkpoints import files
from ..checkpoints.files import replacing
from ..datasets.formats.rle import compressed, rle_problem
from ..datasets.values import is_box, is_integer, is_number
from ..errors import DataError, MissingFileError, PredictionError
from ..limits import JSON_BYTES
from .base import TaskMetric
from .masks import check_codes, code_bytes
from .predicted_folder import is_of_predict, read_results
from .record import EvaluationResult

FIELDS = ('bbox', 'segmentation', 'mask_score')  # of a COCO result entry; the same in all of a file


def evaluate_predictions(
    metric: TaskMetric | dict | ConfigDict,
    path: str | Path,
    dataset: Any = None,
) -> EvaluationResult:
    """Score saved predictions; needs annotations, no images and no model.

    Ends in the same function as a test run, so the numbers agree to the last digit.

    Args:
        metric: A metric of the project or its config.
        path: COCO result file, folder of label PNGs, or FreiHAND's `pred.json` or `.zip`;
            for the two files also the folder that holds them. Or what `predict` wrote: its folder,
            or its `predictions.jsonl`.
        dataset: Config of the test dataset, or the dataset; tells the classes and, for label
            maps and hands, the ground truth.

    Raises:
        DataError: The metric scores nothing (`format_only=True`).
        MissingFileError: There is nothing at `path`.
        PredictionError: A prediction cannot be scored; the message names it.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f'no predictions at {path}')
    built: TaskMetric = METRICS.build(metric) if isinstance(metric, dict) else metric
    built.diagnose = True
    built.results = built.read_predictions(path, dataset)
    built.evaluate(len(built.results))
    if built.result is None:
        raise DataError('format_only=True: this metric only writes predictions, set it to False')
    return built.result


def write_coco_results(path: Path, samples: list[dict], category_ids: list[int], kind: str) -> None:
    """Write compact samples of `InstanceMetric` as one COCO result file.

    Args:
        path: The file.
        samples: Compact samples.
        category_ids: Category id of each label.
        kind: `'bbox'`, `'segm'` (no boxes: pycocotools takes mask areas from such a file) or
            `'both'`, where a mask's own score stands as `mask_score`.
    """
    with replacing(path) as part, open(part, 'w', encoding='utf-8') as file:
        file.write('[')
        separator = '\n'
        for sample in samples:
            for entry in _coco_entries(sample, category_ids, kind):
                file.write(separator + json.dumps(entry))
                separator = ',\n'
        file.write('\n]\n')


def _coco_entries(sample: dict, category_ids: list[int], kind: str) -> Iterator[dict]:
    scores = sample['scores'].tolist()
    mask_scores = sample['mask_scores'].tolist() if 'mask_scores' in sample else None
    for i, label in enumerate(sample['labels'].tolist()):
        entry = {'image_id': sample['id'], 'category_id': category_ids[label], 'score': scores[i]}
        if kind != 'segm':
            entry['bbox'] = sample['boxes'][i].tolist()
        if kind != 'bbox' and 'masks' in sample:
            entry['segmentation'] = {
                'size': sample['size'],
                'counts': sample['masks'][i].decode(),
            }
            if mask_scores is not None:
                entry['score' if kind == 'segm' else 'mask_score'] = mask_scores[i]
        yield entry


def read_json(path: Path) -> Any:
    """Read a JSON file; raises PredictionError when it is none, e.g. cut short."""
    try:
        return files.read_json(path, JSON_BYTES)
    except FileNotFoundError:
        raise MissingFileError(f'no predictions at {path}') from None
    except ValueError as error:
        raise PredictionError(f'{path}: {error}') from None


def read_coco_results(path: Path, truth: COCO, category_ids: list[int]) -> list[dict]:
    """Compact samples of `InstanceMetric`, one for every image of the truth.

    Args:
        path: A COCO result file; the folder that holds it as `instances.json`; or what `predict`
            wrote, its folder or `predictions.jsonl`.
        truth: The ground truth.
        category_ids: Category id of each label.

    Raises:
        PredictionError: An entry is wrong; the message names it.
    """
    return coco_samples(coco_entries(path, truth, category_ids), path, truth, category_ids)


def coco_entries(path: Path, truth: COCO, category_ids: list[int]) -> Any:
    """Result entries, not judged yet; arguments are those of `read_coco_results`."""
    if is_of_predict(path, 'instances.json'):
        return _predicted_entries(path, truth, category_ids)
    return read_json(path / 'instances.json' if path.is_dir() else path)


def _predicted_entries(path: Path, truth: COCO, category_ids: list[int]) -> list[dict]:
    """Result entries of what `predict` wrote of the pictures."""
    ids = {truth.cats[category]['name']: category for category in category_ids}
    pictures = {image.get('file_name', ''): number for number, image in truth.imgs.items()}
    entries, count = [], 0
    for picture, where, content in read_results(path, pictures, 'instance'):
        found = content.get('instances')
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise PredictionError(f'{where}: expected a list of objects "instances"')
        for item in found:
            if item.get('class') not in ids:
                raise PredictionError(
                    f'{where}: class {item.get("class")!r} is not among the {len(ids)} scored'
                )
            entry = {key: item[key] for key in ('score', *FIELDS) if key in item}
            image, category = pictures[picture], ids[item['class']]
            entries.append(entry | {'image_id': image, 'category_id': category})
        count += 1
    if not count:
        raise MissingFileError(
            f'{path / "instances.json"}: no such file, nor a JSON file for each picture or '
            f'predictions.jsonl, as predict writes them, in {path}'
            if path.is_dir()
            else f'{path}: expected a line for each picture, as predict writes them, found none'
        )
    return entries


def coco_samples(entries: Any, path: Path, truth: COCO, category_ids: list[int]) -> list[dict]:
    """Compact samples from COCO result entries, one for every image of the truth.

    Entries hold `image_id`, `category_id`, `score` and a `bbox`, a run-length coded
    `segmentation` or both, the same in all. Boxes that are missing are those of the masks.

    Args:
        entries: A list of objects.
        path: What messages call it.
        truth: The ground truth.
        category_ids: Category id of each label.

    Raises:
        PredictionError: An entry is wrong; the message names it.
    """
    if not isinstance(entries, list):
        raise PredictionError(f'{path}: expected a list of entries, found {type(entries).__name__}')
    labels = {category: label for label, category in enumerate(category_ids)}
    first = entries[0] if entries and isinstance(entries[0], dict) else {}
    # no entries: nothing was found, neither boxes nor masks
    fields = [field for field in FIELDS if field in first or not entries]
    by_image: dict[int, list[int]] = {image_id: [] for image_id in truth.imgs}
    for index, entry in enumerate(entries):
        _make_whole(entry)
        fault = _entry_fault(entry, fields, truth, labels)
        if fault:
            raise PredictionError(f'{path}: {_entry_name(entries, index)}: {fault}')
        by_image[entry['image_id']].append(index)

    samples = []
    for image_id, indices in sorted(by_image.items()):
        chosen = [entries[i] for i in indices]
        sample = {
            'id': int(image_id),
            'scores': np.array([entry['score'] for entry in chosen], dtype=np.float64),
            'labels': np.array([labels[entry['category_id']] for entry in chosen], dtype=np.int64),
        }
        if 'segmentation' in fields:
            size = [truth.imgs[image_id]['height'], truth.imgs[image_id]['width']]
            codes = [entry['segmentation'] for entry in chosen]
            for i, code in enumerate(codes):
                if isinstance(code, dict) and isinstance(code.get('counts'), list):
                    fault = rle_problem(code, (size[0], size[1]))
                    if fault:
                        name = _entry_name(entries, indices[i])
                        raise PredictionError(f'{path}: {name}: segmentation{fault}')
                    codes[i] = compressed(code)
            check_codes(codes, size, partial(_mask_name, path, entries, indices))
            sample |= {'masks': [code_bytes(code) for code in codes], 'size': size}
            if 'mask_score' in fields:
                sample['mask_scores'] = np.array([entry['mask_score'] for entry in chosen])
        boxes = [e['bbox'] for e in chosen] if 'bbox' in fields else coco_mask.toBbox(codes)
        sample['boxes'] = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        samples.append(sample)
    return samples


def _mask_name(path: Path, entries: list, indices: list[int], i: int) -> str:
    return f'{path}: {_entry_name(entries, indices[i])}'


def _entry_name(entries: list, index: int) -> str:
    entry = entries[index]
    image_id = entry.get('image_id') if isinstance(entry, dict) else None
    return f'entry {index}' + ('' if image_id is None else f' (image_id {image_id!r:.40})')


def _make_whole(entry: object) -> None:
    """Turn ids that are written as 1.0 into integers, as in annotation files."""
    for name in ('image_id', 'category_id') if isinstance(entry, dict) else ():
        value = entry.get(name)  # type: ignore[attr-defined]
        if isinstance(value, float) and value.is_integer():
            entry[name] = int(value)  # type: ignore[index]


def _entry_fault(entry: object, fields: list[str], truth: COCO, labels: dict) -> str | None:
    if not isinstance(entry, dict):
        return f'expected an object, found {type(entry).__name__}'
    if not is_integer(entry.get('image_id')) or entry['image_id'] not in truth.imgs:
        return f'image_id {entry.get("image_id")!r:.40} is not in the annotation file'
    if not is_integer(entry.get('category_id')) or entry['category_id'] not in labels:
        category = f'{entry.get("category_id")!r:.40}'
        return f'category_id {category} is not among the {len(labels)} scored ({_some(labels)})'
    for name in ('score', 'mask_score'):
        if (name == 'score' or name in entry) and not is_number(entry.get(name)):
            return f'{name} {entry.get(name)!r:.40} is not a finite number'
    found = [field for field in FIELDS if field in entry]
    if found != fields or not set(fields) & {'bbox', 'segmentation'}:
        return f'expected the fields {fields or "bbox or segmentation"}, found {found}'
    if 'bbox' in fields and not is_box(entry['bbox']):
        return f'expected bbox [x, y, width, height], found {entry["bbox"]!r:.80}'
    if 'bbox' in fields and min(entry['bbox'][2:]) < 0:
        found_box = f'{entry["bbox"]!r:.80}'
        return f'bbox: expected a width and a height of 0 and more, found {found_box}'
    return None


def _some(ids: Iterable[int]) -> str:
    shown = sorted(ids)
    return ', '.join(map(str, shown[:10])) + (', ...' if len(shown) > 10 else '')
