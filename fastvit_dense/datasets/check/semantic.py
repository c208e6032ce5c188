"""Checks of a dataset of images and class masks, as mmseg's `BaseSegDataset` reads it."""

from collections import Counter
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..loading import IGNORED, MAX_BROKEN_IMAGES, mask_value_problem, read_image, read_mask
from .common import DatasetCheck, check_no_cycle, existing_files


def check_semantic(check: DatasetCheck) -> None:
    """Check a `BaseSegDataset`; `check` says which one and takes the findings."""
    report = check.report
    prefix, ann_file = check.built.data_prefix, check.built.ann_file
    images, masks = Path(prefix.get('img_path') or ''), Path(prefix.get('seg_map_path') or '')
    report.source, report.unit = str(images), 'pixels'
    report.notes.append(f'masks in {masks}')
    _check_settings(check)
    unlabelled = report.loaders == ['test'] and not masks.exists()
    if unlabelled:
        report.warning(
            'no_ground_truth',
            masks,
            'no such folder: predictions only, no scores, with '
            'test_evaluator.format_only=True and test_evaluator.output_dir set',
        )
    complete = check.depth == 'annotations' or check.found_on_disk(images, 'image folder')
    complete &= unlabelled or check.found_on_disk(masks, 'mask folder')
    complete &= not ann_file or check.found_on_disk(Path(ann_file), 'list of names')
    if not complete:
        return
    try:
        for folder in (images, masks):
            if folder.is_dir():
                check_no_cycle(folder)
    except DataError as error:
        check.broken('links', error)
        return
    entries = check.built.load_data_list() if images.exists() or ann_file else []
    pairs = [(Path(entry['img_path']), Path(entry.get('seg_map_path', ''))) for entry in entries]
    report.images = len(pairs)
    if not pairs and check.depth == 'annotations':
        return
    if not pairs:
        suffix = check.built.img_suffix
        report.error(
            'suffix',
            images,
            f'expected images with img_suffix={suffix!r}, found {_suffixes(images)}; '
            'set img_suffix',
        )
        return
    check.warn_of_outside(images, [image for image, _ in pairs])
    pairs = _pairs_on_disk(check, masks, pairs, unlabelled)
    report.images_used = len(pairs)
    report.pictures += [str(image) for image, _ in pairs]
    if check.depth == 'all' and not unlabelled:
        _read_pairs(check, pairs)


def _check_settings(check: DatasetCheck) -> None:
    if not check.classes:
        check.report.error(
            'classes', check.kind, 'expected metainfo.classes, found none in the config'
        )
    of_dataset = check.built.reduce_zero_label
    most = IGNORED - of_dataset
    if len(check.classes) > most:
        check.report.error(
            'classes',
            check.kind,
            f'expected at most {most} classes (masks are read as bytes, {IGNORED} is '
            f'ignored, reduce_zero_label={of_dataset}), found {len(check.classes)}',
        )
    for step in check.steps:
        if step.get('reduce_zero_label') not in (None, of_dataset):
            check.report.error(
                'reduce_zero_label',
                check.kind,
                f'expected one setting, found reduce_zero_label={of_dataset} in the '
                f'dataset and {step["reduce_zero_label"]} in {step["type"]} of its pipeline',
            )


def _suffixes(folder: Path) -> str:
    counts = Counter(path.suffix for path in folder.rglob('*') if path.is_file())
    return ', '.join(f'{n} files *{suffix}' for suffix, n in counts.most_common(4)) or 'no files'


def _pairs_on_disk(
    check: DatasetCheck, masks: Path, pairs: list[tuple[Path, Path]], unlabelled: bool
) -> list[tuple[Path, Path]]:
    """Report images and masks that are missing; return the complete pairs."""
    there = existing_files(path for pair in pairs for path in pair)
    missing = [image for image, _ in pairs if image not in there]
    report = check.report
    skipped = report.loaders == ['train'] and len(missing) <= MAX_BROKEN_IMAGES
    tell = report.warning if skipped and check.depth != 'all' else report.error
    if check.depth != 'annotations':
        for image in missing:
            tell('image_missing', image, 'expected an image of that name, found none')
    if unlabelled:
        return []
    used = {mask for _, mask in pairs if mask in there}
    suffix = check.built.seg_map_suffix
    if not used:
        report.error(
            'suffix',
            masks,
            f'expected masks named like the images with seg_map_suffix={suffix!r} '
            f'({pairs[0][1].name}, ...), found {_suffixes(masks)}; set seg_map_suffix',
        )
        return []
    for image, mask in pairs:
        if mask not in there:
            report.error('mask_missing', mask, f'expected the mask of {image}, found none')
    strays = sorted(set(masks.rglob(f'*{suffix}')) - used) if not check.built.ann_file else []
    if strays:
        message = f'{len(strays)} masks belong to no image'
        report.warning('mask_without_image', strays[0], message)
    return [pair for pair in pairs if pair[0] in there and pair[1] in there]


def _read_pairs(check: DatasetCheck, pairs: list[tuple[Path, Path]]) -> None:
    """Read every image and mask; count the pixels of each class."""
    reduce_zero = check.built.reduce_zero_label
    names = check.built.METAINFO.get('classes') or check.classes

    def examine(pair: tuple[Path, Path]) -> tuple[list[tuple[str, DataError]], np.ndarray]:
        image_path, mask_path = map(str, pair)
        problems: list[tuple[str, DataError]] = []
        shape = None
        counts: np.ndarray = np.zeros(256, np.int64)
        try:
            shape = read_image(image_path).shape[:2]
        except DataError as error:
            problems.append(('broken_image', error))
        try:
            mask = read_mask(mask_path)
        except DataError as error:
            return [*problems, ('broken_mask', error)], counts
        if shape and mask.shape != shape:
            message = (
                f'{mask_path}: expected {shape[1]}x{shape[0]} pixels (width x height) as in '
                f'{image_path}, found {mask.shape[1]}x{mask.shape[0]}'
            )
            problems.append(('mask_size', DataError(message)))
        values = mask_value_problem(mask, len(names), reduce_zero)
        if values:
            problems.append(('value', DataError(f'{mask_path}: {values}')))
        else:
            counts = np.bincount(mask.ravel(), minlength=256)
        return problems, counts

    pixels = np.zeros(256, np.int64)
    for problems, counts in check.examine(examine, pairs):
        pixels += counts
        for kind, error in problems:
            check.broken(kind, error)
    report = check.report
    by_name = dict(zip(names, (pixels[1:] if reduce_zero else pixels).tolist(), strict=False))
    report.per_class = {name: by_name[name] for name in check.classes}
    report.annotations = int(pixels.sum())
    report.annotations_used = sum(report.per_class.values())
    report.discarded['ignored_pixels'] = report.annotations - report.annotations_used
    absent = [name for name in check.classes if not by_name[name]]
    if absent:
        shown = ', '.join(map(repr, absent))
        report.warning('class_absent', report.source, f'no mask has pixels of {shown}')
