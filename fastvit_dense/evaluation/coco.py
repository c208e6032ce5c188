"""COCO ground truth: annotation files and data samples, indexed."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from ..datasets.check.coco_rules import structure_findings
from ..datasets.formats.coco import read_coco
from ..errors import DataError


def load_annotations(
    path: str | Path, backend_args: dict | None = None, with_masks: bool = False
) -> COCO:
    """Read a COCO annotation file by the rules that hold for training, too.

    A file without `annotations` (COCO's test-dev) is read as well.

    Args:
        path: The JSON file.
        backend_args: mmengine's file backend.
        with_masks: Every annotation needs a mask.

    Raises:
        MissingFileError: There is no such file.
        DataError: It cannot be scored against; the message names file, entry and field.
    """
    content = read_coco(path, backend_args)
    faults = structure_findings(content, str(path), with_masks=with_masks, with_files=False)
    if faults:
        more = f' ... and {len(faults) - 1} more faults' if len(faults) > 1 else ''
        raise DataError(f'{faults[0]}{more}')
    return indexed(content)


def indexed(content: dict[str, Any]) -> COCO:
    """The index of a COCO annotation file's content, which it keeps as `dataset`."""
    index = COCO()
    index.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index


def part_of(truth: COCO, image_ids: set[int]) -> COCO:
    """The ground truth of some of its images; itself where these are all."""
    if image_ids.issuperset(truth.imgs):
        return truth
    content = truth.dataset
    images = [image for image in content['images'] if image['id'] in image_ids]
    annotations = [a for a in content['annotations'] if a['image_id'] in image_ids]
    return indexed({**content, 'images': images, 'annotations': annotations})


def count_objects(truth: COCO, category_ids: Sequence[int]) -> list[dict]:
    """`name` and `objects`, crowds aside, of each category, ascending by id."""
    objects = dict.fromkeys(sorted(category_ids), 0)
    for annotation in truth.anns.values():
        if annotation['category_id'] in objects and not annotation.get('iscrowd', 0):
            objects[annotation['category_id']] += 1
    return [{'name': truth.cats[i]['name'], 'objects': n} for i, n in objects.items()]


def truth_of_samples(samples: list[dict], classes: Sequence[str]) -> COCO:
    """Ground truth from data samples, with box areas, as mmdet's `CocoMetric` converts it.

    Args:
        samples: `id` and `truth`: ((height, width), mmdet's `instances`).
        classes: Names of the labels, which become the category ids.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    for sample in samples:
        (height, width), instances = sample['truth']
        images.append({'id': sample['id'], 'height': int(height), 'width': int(width)})
        for instance in instances:
            x1, y1, x2, y2 = (float(x) for x in instance['bbox'])
            annotation = {
                'id': len(annotations) + 1,
                'image_id': sample['id'],
                'category_id': int(instance['bbox_label']),
                'bbox': [x1, y1, x2 - x1, y2 - y1],
                'area': (x2 - x1) * (y2 - y1),
                'iscrowd': int(instance.get('ignore_flag', 0)),
            }
            if instance.get('mask') is not None:
                annotation['segmentation'] = instance['mask']
            annotations.append(annotation)
    categories = [{'id': i, 'name': name} for i, name in enumerate(classes)]
    return indexed({'images': images, 'annotations': annotations, 'categories': categories})
