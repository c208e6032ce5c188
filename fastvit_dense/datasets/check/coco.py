"""The check of a dataset in COCO's format: the annotation file, its classes, the pictures."""

import difflib
import re
import shlex
from pathlib import Path

from ...errors import DataError
from ..decoding import size_of
from ..formats.coco import read_coco
from ..loading import MAX_BROKEN_IMAGES, check_size, read_image
from ..picture_suffixes import unused_pictures
from ..spread import spread
from .coco_rules import plausibility_findings, structure_findings
from .coco_usage import count_usage, judge_usage
from .common import LOOKED_AT, DatasetCheck, existing_files, expected_names
from .near_names import NearNames
from .pictures import check_pictures

MANY_CLASSES = 20  # more are named in a file


def check_coco(check: DatasetCheck) -> None:
    """Check a `CocoDataset`; `check` says which one and takes the findings."""
    report = check.report
    path = Path(check.built.ann_file)
    folder = Path(check.built.data_prefix.get('img', ''))
    report.source = str(path)
    report.notes.append(f'images in {folder}')
    if not check.found_on_disk(path, 'annotation file'):
        return
    try:
        content = read_coco(path)
    except DataError as error:
        report.error('annotation_file', path, str(error).removeprefix(f'{path}: '))
        return
    if not _complete(check, path, content):
        return
    with_masks, where = check.with_masks, str(path)
    used = _used_categories(check, content)
    faults = structure_findings(
        content, where, with_masks=with_masks, with_files=check.depth != 'annotations', of=used
    )
    readable = not faults
    faults = faults or plausibility_findings(content, where, with_masks=with_masks, of=used)
    for finding in faults:
        report.add(finding)
    report.images, report.annotations = len(content['images']), len(content['annotations'])
    if any(finding.kind == 'field' for finding in faults):
        return
    _check_categories(check, path, content)
    if readable and content['annotations']:
        names = check.classes or [category['name'] for category in content['categories']]
        in_file = count_usage(content, names, check.filter_cfg, report)
        if all(finding.severity == 'warning' for finding in faults):
            judge_usage(report, in_file, where)
    _check_images(check, path, folder, content['images'])


def _complete(check: DatasetCheck, path: Path, content: dict) -> bool:
    """Tell whether there is something in the lists; without ground truth in a test, if need be."""
    report = check.report
    if report.loaders == ['test'] and not content.get('annotations'):
        message = 'no annotations: predictions only, no scores'
        report.warning('no_ground_truth', path, message)
        content['annotations'] = []
    elif 'annotations' not in content:
        report.error('annotation_file', path, "expected a list 'annotations', found none")
        return False
    unlabelled = report.loaders == ['test']
    empty = [
        group
        for group in ('images', 'annotations', 'categories')
        if not content[group] and not (unlabelled and group == 'annotations')
    ]
    for group in empty:
        message = f'expected entries in {group!r}, found an empty list'
        report.error('empty_list', path, message)
    return not empty


def _used_categories(check: DatasetCheck, content: dict) -> set[int] | None:
    """Ids of the categories that training uses; None: all, as a metric reads them."""
    if check.report.loaders != ['train'] or not check.classes:
        return None
    entries = [c for c in content['categories'] if isinstance(c, dict)]
    used = [c.get('id') for c in entries if c.get('name') in check.classes]
    return {number for number in used if isinstance(number, int)} or None


def _check_categories(check: DatasetCheck, path: Path, content: dict) -> None:
    """Compare the file's category names with the config's classes."""
    names = [category['name'] for category in content['categories']]
    if not check.classes:
        return
    where = f'{path}: categories'
    unknown = [name for name in check.classes if name not in names]
    misspelt = any(difflib.get_close_matches(name, names, n=1) for name in unknown)
    judging = 'train' not in check.report.loaders
    if judging and 0 < len(unknown) < len(check.classes) and not misspelt:
        absent = ', '.join(map(repr, unknown))
        message = f'no category {absent} of the classes (metainfo.classes)'
        check.report.warning('class_absent', where, message)
    elif unknown:
        check.report.error(
            'classes',
            where,
            f"expected the config's classes {expected_names(unknown, names)}; {set_classes(names)}",
        )
        return
    extra = [name for name in names if name not in check.classes]
    if not extra:
        return
    ids = {c['id'] for c in content['categories'] if c['name'] in extra}
    count = sum(a['category_id'] in ids for a in content['annotations'])
    message = (
        f"{', '.join(map(repr, extra))} are not among the config's classes (metainfo.classes): "
        f'{count} annotations are left out'
    )
    if (check.settings.get('metainfo') or {}).get('classes'):
        check.report.warning('classes', where, message)
    else:
        check.report.error('classes', where, f'{message}; {set_classes(names)}')


def set_classes(names: list[str]) -> str:
    """Say what to type for the classes of a file."""
    key = 'train_dataloader.dataset.metainfo.classes'
    advice = 'for those of the file set metainfo.classes of the training dataset: --cfg-options '
    names = list(dict.fromkeys(names))
    value = f'{key}={tuple(names)}'
    if len(names) > MANY_CLASSES or '\\' in value:
        return f'{advice}{key}=classes.txt, a text file with one class a line'
    # in double quotes, as the names have single ones, where the shell takes those as they are
    shown = shlex.quote(value) if re.search(r'["$`!]', value) else f'"{value}"'
    return f'{advice}{shown}'


def _check_images(check: DatasetCheck, path: Path, folder: Path, images: list[dict]) -> None:
    """Tell whether the images are there and, in the full check, whether each can be read."""
    if check.depth == 'annotations' or not check.found_on_disk(folder, 'image folder'):
        return
    report = check.report
    check.warn_of_outside(folder, [folder / image['file_name'] for image in images])
    there = existing_files([folder / image['file_name'] for image in images])
    present: list[dict] = []
    missing: list[dict] = []
    for image in images:
        (present if folder / image['file_name'] in there else missing).append(image)
    report.pictures += [str(folder / image['file_name']) for image in present]
    training = report.loaders == ['train']
    skipped = training and bool(present) and len(missing) <= MAX_BROKEN_IMAGES
    tell = report.warning if skipped and check.depth != 'all' else report.error
    near = NearNames(folder) if missing else None
    for image in missing:
        tell(
            'image_missing',
            folder / image['file_name'],
            f'expected the image with id {image["id"]} of {path}, found no such file'
            f'{near.of(image["file_name"]) if near else ""}',
        )
    of_other_size: list[DataError] = []

    def examine(image: dict) -> DataError | None:
        file = str(folder / image['file_name'])
        try:
            shape = read_image(file).shape[:2]
        except DataError as error:
            return error
        try:
            check_size(file, shape, image)
        except DataError as error:
            of_other_size.append(error)
        return None

    check.examine_pictures(examine, present)
    if check.depth == 'all':  # else there is a look at the sizes of some
        for fault in sorted(of_other_size, key=str):
            check.broken('image_size', fault)
    if check.depth == 'sample':
        _look_at_sizes(check, folder, spread(present, LOOKED_AT), training)
    sizes = {folder / im['file_name']: (im['height'], im['width']) for im in present}
    check_pictures(check, sizes)
    left = unused_pictures(folder.iterdir(), sizes) if check.depth == 'all' else None
    if left:  # folders that several annotation files share are common
        report.notes.append(f'of the image folder {left}')


def _look_at_sizes(check: DatasetCheck, folder: Path, images: list[dict], training: bool) -> None:
    """Compare sizes of annotations with the headers of pictures; training skips a few."""
    wrong = []
    for image in images:
        file = folder / image['file_name']
        shape = size_of(file)
        try:
            check_size(str(file), shape or (image['height'], image['width']), image)
        except DataError as error:
            wrong.append(error)
    few = training and len(wrong) <= MAX_BROKEN_IMAGES and len(wrong) < len(images)
    tell = check.report.warning if few else check.report.error
    for fault in wrong:
        where, _, message = str(fault).partition(': ')
        tell('image_size', where, message)
