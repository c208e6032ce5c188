"""Predictions as a COCO annotation file, to be corrected and trained on."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.files import replacing


def write_coco(
    records: Iterable[dict[str, Any]],
    path: Path,
    classes: Sequence[str],
    ids: Sequence[int],
    threshold: float,
) -> tuple[int, int]:
    """Write what `predict` found as annotations; one record at a time is in memory.

    Args:
        records: Gone through twice: `file_name`, `height`, `width`, and `instances` as
            `InstanceResult.to_dict` gives them.
        path: The file.
        classes: Names by label.
        ids: Ids by label.
        threshold: Instances that score less are left out.

    Returns:
        The numbers of images and of annotations. Masks are run-length codes, exact; `score`
        stands beside them.
    """
    categories = [{'id': i, 'name': name} for i, name in zip(ids, classes, strict=True)]
    images = annotations = 0
    with replacing(path) as part, part.open('w', encoding='utf-8') as file:
        file.write('{"images": [')
        for images, record in enumerate(records, start=1):
            about = {key: record[key] for key in ('file_name', 'height', 'width')}
            file.write(f'{_comma(images)}{json.dumps({"id": images, **about})}')
        file.write('],\n"annotations": [')
        for image, record in enumerate(records, start=1):
            for found in record['instances']:
                if found['score'] >= threshold:
                    annotations += 1
                    item = _annotation(annotations, image, found, ids)
                    file.write(f'{_comma(annotations)}{json.dumps(item)}')
        file.write(f'],\n"categories": {json.dumps(categories)}}}\n')
    return images, annotations


def _comma(number: int) -> str:
    return '\n' if number == 1 else ',\n'


def _annotation(number: int, image: int, found: dict, ids: Sequence[int]) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    code = found.get('segmentation')
    area = float(coco_mask.area(code)) if code else found['bbox'][2] * found['bbox'][3]
    item = {
        'id': number,
        'image_id': image,
        'category_id': ids[found['label']],
        'bbox': found['bbox'],
        'area': area,
        'iscrowd': 0,
        'score': found['score'],
    }
    return {**item, 'segmentation': code} if code else item
