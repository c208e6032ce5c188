"""Annotations that mmdet's `CocoDataset` gives to training, and those that it leaves out."""

from collections.abc import Mapping, Sequence
from typing import Any

from .findings import DatasetReport

LARGE_SHARE = 0.1  # of the annotations, or pictures, that are left out for one reason: a warning
REASONS = ('crowd', 'ignore', 'outside', 'below_one_pixel', 'image_below_min_size')
ADVICE = {
    'crowd': 'iscrowd=1 marks a group, on which nothing is trained; set 0 for single objects',
    'ignore': 'ignore=1 leaves an object out; set 0 to train on it',
    'outside': 'no part of the box lies in the picture',
    'below_one_pixel': 'boxes are x, y, width, height in pixels; are these shares of the picture?',
    'image_below_min_size': 'filter_cfg.min_size of the dataset is the smallest side of a picture',
    'no_annotation': 'filter_cfg=dict(filter_empty_gt=False) of the dataset keeps them',
}


def count_usage(
    content: dict,
    classes: Sequence[str],
    filter_cfg: Mapping[str, Any] | None,
    report: DatasetReport,
) -> dict[str, int]:
    """Count what is left after the filters of `CocoDataset`, and why the rest is not.

    Args:
        content: A sound annotation file.
        classes: Those of the config.
        filter_cfg: The dataset's; None where nothing is filtered, as in a test.
        report: Takes the counts.

    Returns:
        Class -> its annotations in the file.
    """
    filters = filter_cfg or {}
    min_size = filters.get('min_size', 0)
    categories = {c['id']: c['name'] for c in content['categories'] if c['name'] in set(classes)}
    images = {image['id']: image for image in content['images']}
    kept = {i for i, im in images.items() if min(im['width'], im['height']) >= min_size}
    if filters.get('filter_empty_gt', False):
        # crowds and ignored objects count here, as in mmdet
        annotated = {
            a['image_id'] for a in content['annotations'] if a['category_id'] in categories
        }
        report.discarded['no_annotation'] = len(kept - annotated)
        kept &= annotated
    report.images, report.images_used = len(images), len(kept)
    report.annotations = len(content['annotations'])
    report.per_class = dict.fromkeys(classes, 0)
    in_file = dict.fromkeys(classes, 0)
    for annotation in content['annotations']:
        name = categories.get(annotation['category_id'])
        if name is not None:
            in_file[name] += 1
        reason = _reason(annotation, images[annotation['image_id']], min_size) if name else None
        if reason or name is None:
            report.discarded[reason or 'other_class'] += 1
        else:
            report.annotations_used += 1
            report.per_class[name] += 1
    return in_file


def _reason(annotation: dict, image: dict, min_size: int) -> str | None:
    """Name why training leaves an annotation out; None: it is used."""
    x, y, width, height = annotation['bbox']
    if annotation.get('ignore'):
        return 'ignore'
    if annotation.get('iscrowd'):
        return 'crowd'
    if min(x + width, image['width']) <= max(x, 0) or min(y + height, image['height']) <= max(y, 0):
        return 'outside' if width > 0 and height > 0 else 'below_one_pixel'
    if width < 1 or height < 1:
        return 'below_one_pixel'
    if annotation['area'] <= 0:
        return 'area'
    if min(image['width'], image['height']) < min_size:
        return 'image_below_min_size'
    return None


def judge_usage(report: DatasetReport, in_file: Mapping[str, int], where: str) -> None:
    """Tell where too little is left, or nothing.

    Args:
        report: With the counts of `count_usage`; takes the findings.
        in_file: Class -> its annotations in the file.
        where: The annotation file.
    """
    training = 'train' in report.loaders
    tell = report.error if training else report.warning
    told = ', '.join(f'{reason} {n}' for reason, n in report.discarded.items() if n)
    wanted = sum(in_file.values())
    if wanted and not report.annotations_used:
        main = report.discarded.most_common(1)[0][0]
        advice = ADVICE.get(main, '')
        tell(
            main if main in REASONS else 'nothing_used',
            where,
            f'expected objects to {"train on" if training else "score"}, found that all '
            f'{report.annotations} annotations are left out ({told}); {advice}'.rstrip('; '),
        )
        return
    for name, count in in_file.items():
        if count and not report.per_class[name]:
            tell(
                'class_not_used',
                where,
                f'class {name!r}: expected objects, found that all its {count} annotations are '
                f'left out (of all classes: {told})',
            )
    absent = [name for name, count in in_file.items() if not count]
    if absent and wanted:
        shown = ', '.join(map(repr, absent[:10])) + (', ...' if len(absent) > 10 else '')
        report.warning('class_absent', where, f'no annotations of {len(absent)} classes: {shown}')
    for reason in REASONS:
        count = report.discarded[reason]
        if count > LARGE_SHARE * report.annotations:
            report.warning(
                reason,
                where,
                f'{count} of {report.annotations} annotations are left out; {ADVICE[reason]}',
            )
    count = report.discarded['no_annotation']
    if count > LARGE_SHARE * report.images:
        advice = ADVICE['no_annotation']
        report.warning(
            'no_annotation', where, f'{count} of {report.images} pictures are left out; {advice}'
        )
