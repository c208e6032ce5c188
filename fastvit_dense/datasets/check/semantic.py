"""Checks of a dataset of images and class masks, as mmseg's `BaseSegDataset` reads it."""

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import DataError, reason_of
from ..decoding import orientation_of, size_of
from ..loading import MAX_BROKEN_IMAGES, read_image
from ..mask_reading import IGNORED, is_jpeg, mask_value_problem, read_mask_and_palette
from ..picture_suffixes import suffixes_below, unused_pictures
from ..spread import spread
from .common import LOOKED_AT, DatasetCheck, check_no_cycle, existing_files
from .masks import MANY_IGNORED, MaskLook, MaskValues, ignored_note, look_at, palette_problem
from .pictures import check_pictures

DOUBTED = 1000  # where these make the check suspicious


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
    if ann_file and (fault := names_fault(Path(ann_file), images, check.built.img_suffix)):
        report.error('annotation_file', ann_file, fault)
        return
    entries = check.built.load_data_list() if images.exists() or ann_file else []
    pairs = [(Path(entry['img_path']), Path(entry.get('seg_map_path', ''))) for entry in entries]
    report.images = len(pairs)
    if not pairs and check.depth == 'annotations':
        found = sorted(masks.rglob(f'*{check.built.seg_map_suffix}'))
        _judge_masks(check, [(None, path) for path in found])
        return
    if not pairs:
        suffix = check.built.img_suffix
        report.error(
            'suffix',
            images,
            f'expected images with img_suffix={suffix!r}, found {suffixes_below(images)}; '
            'set img_suffix',
        )
        return
    if not ann_file and check.depth != 'annotations':
        left = unused_pictures(images.rglob('*.*'), [image for image, _ in pairs])
        if left:
            advice = f'img_suffix={check.built.img_suffix!r} tells them apart, capitals too'
            report.warning('suffix', images, f'{left}; {advice}')
    check.warn_of_outside(images, [image for image, _ in pairs])
    pairs = _pairs_on_disk(check, masks, pairs, unlabelled)
    report.images_used = len(pairs)
    report.pictures += [str(image) for image, _ in pairs]
    if check.depth == 'sample':  # all are read with their masks
        check.examine_pictures(_picture_fault, [image for image, _ in pairs])
    if not unlabelled:
        sizes = _judge_masks(check, pairs)
        check_pictures(check, sizes)


def names_fault(path: Path, images: Path, suffix: str) -> str | None:
    """Tell in words what keeps a file from being a list of names, one a line, without suffixes.

    Args:
        path: The file, which mmseg reads as UTF-8.
        images: Folder of the pictures.
        suffix: What is added to each name.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        return f'expected names in UTF-8, one a line, found {reason_of(error)}'
    if text.startswith('\ufeff'):
        return 'expected UTF-8 without a byte order mark, found one; save it again without'
    if not text.strip():
        return 'expected names of pictures, one a line, found none'
    for number, name in enumerate(text.splitlines(), 1):
        if not name.strip():
            return f'line {number}: expected the name of a picture, found an empty line'
        if name.endswith(suffix) and (images / name).is_file():
            told = f'expected a name without {suffix!r} (img_suffix), which is added'
            return f'line {number}: {told}, found {name!r}'
    return None


def _check_settings(check: DatasetCheck) -> None:
    zero = check.built.reduce_zero_label
    if zero not in (True, False, None):
        message = f'reduce_zero_label: expected True or False, found {zero!r}'
        check.report.error('reduce_zero_label', check.kind, message)
        check.built.reduce_zero_label = bool(zero)
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


def _named_otherwise(masks: Path, stem: str) -> str:
    """Name a file that begins with the name of an image, and the suffix to set."""
    pattern = f'{glob.escape(stem)}[!0-9A-Za-z]*'  # not 10.png for image 1
    found = sorted(path for path in masks.rglob(pattern) if path.suffix)
    if not found:
        return '; set seg_map_suffix'
    name = found[0].name
    return f' ({name}, ...); set seg_map_suffix={name.removeprefix(stem)!r}'


def _pairs_on_disk(
    check: DatasetCheck, masks: Path, pairs: list[tuple[Path, Path]], unlabelled: bool
) -> list[tuple[Path, Path]]:
    """Report images and masks that are missing; return the complete pairs."""
    there = existing_files(path for pair in pairs for path in pair)
    missing = [image for image, _ in pairs if image not in there]
    report = check.report
    few = len(missing) <= MAX_BROKEN_IMAGES and len(missing) < len(pairs)
    skipped = report.loaders == ['train'] and few
    tell = report.warning if skipped and check.depth != 'all' else report.error
    if check.depth != 'annotations':
        for image in missing:
            tell('image_missing', image, 'expected an image of that name, found none')
    if unlabelled:
        return []
    used = {mask for _, mask in pairs if mask in there}
    suffix = check.built.seg_map_suffix
    elsewhere = {} if len(used) == len(pairs) else {p.name: p for p in masks.rglob('*.*')}
    if not used and pairs[0][1].name not in elsewhere:
        report.error(
            'suffix',
            masks,
            f'expected masks named like the images with seg_map_suffix={suffix!r} '
            f'({pairs[0][1].name}, ...), found {suffixes_below(masks)}'
            f'{_named_otherwise(masks, pairs[0][1].name.removesuffix(suffix))}',
        )
        return []
    for image, mask in pairs:
        if mask not in there:
            found = elsewhere.get(mask.name, 'none')
            moved = '; masks lie in folders like those of the images' if found != 'none' else ''
            message = f'expected the mask of {image}, found {found}{moved}'
            report.error('mask_missing', mask, message)
    strays = sorted(set(masks.rglob(f'*{suffix}')) - used) if not check.built.ann_file else []
    if strays:
        message = f'{len(strays)} masks belong to no image'
        report.warning('mask_without_image', strays[0], message)
    return [pair for pair in pairs if pair[0] in there and pair[1] in there]


def _judge_masks(
    check: DatasetCheck, pairs: Sequence[tuple[Path | None, Path]]
) -> dict[Path, tuple[int, int] | None]:
    """Read the masks, or before training some of them, and judge their values.

    Returns:
        Picture -> (height, width) of its mask; None where that was not read.
    """
    report = check.report
    names = check.built.METAINFO.get('classes') or check.classes
    values = MaskValues(int(bool(check.built.reduce_zero_label)), names)
    sample = pairs if check.depth == 'all' else spread(pairs, LOOKED_AT)
    read = _read_pairs(check, sample, values)
    sizes = {image: read.get(mask) for image, mask in pairs if image is not None}
    suspicion = values.class_that_is_ignored()
    lone = values.only_class() if 'train' in report.loaders else None
    if (suspicion or lone) and len(sample) < len(pairs):
        values.looks.clear()
        _read_pairs(check, spread(pairs, DOUBTED), values)
        suspicion, lone = values.class_that_is_ignored(), lone and values.only_class()
    if not values.looks:
        return sizes
    report.notes.append(ignored_note(values))
    if check.depth == 'all':
        _count_pixels(check, values)
    elif lone:
        message = f'all labelled pixels of {len(values.looks)} masks are of one class, {lone!r}'
        report.warning('class_absent', _masks_in(check), message)
    _tell_of_lossy(check, [look.path for look in values.looks])
    if not values.of_classes.any():
        zero = ' (with reduce_zero_label=True 0 is ignored, too)' if values.first else ''
        report.error(
            'ignored_pixels',
            report.source,
            f'expected pixels of the classes, found that all pixels of {len(values.looks)} masks '
            f'are ignored: {IGNORED}, or 65535 in 16 bits{zero}. Masks hold the index of the class '
            f'of each pixel: for two classes 0 and 1, not 0 and {IGNORED}',
        )
    elif suspicion and not suspicion.is_void(_training_values(check)):
        meant = check.settings.get('ignore_index') == IGNORED
        add = report.error if suspicion.severity == 'error' and not meant else report.warning
        add('ignored_pixels', _masks_in(check), suspicion.message())
    elif values.ignored > MANY_IGNORED:
        report.warning('ignored_pixels', report.source, ignored_note(values))
    return sizes


def _masks_in(check: DatasetCheck) -> str:
    """Name the folder of the masks."""
    return str(check.built.data_prefix.get('seg_map_path') or '')


def _tell_of_lossy(check: DatasetCheck, masks: Sequence[Path]) -> None:
    """Warn of masks that are JPEG files, whatever their suffix, and hold values of classes only."""
    lossy = [path for path in masks if is_jpeg(path)]
    if lossy:
        check.report.warning(
            'lossy_mask',
            lossy[0],
            f'expected a format that keeps values, such as PNG, found JPEG ({len(lossy)} of '
            f'{len(masks)} masks), which changes them along edges, to other classes, too; write '
            'the masks again from their source',
        )


def _training_values(check: DatasetCheck) -> MaskValues | None:
    """Values of some masks of the training data; None where this is the training data."""
    if check.training is None or 'train' in check.report.loaders:
        return None
    names = check.training.METAINFO.get('classes') or check.classes
    values = MaskValues(int(bool(check.training.reduce_zero_label)), names)
    for entry in spread(check.training.load_data_list(), LOOKED_AT):
        try:
            mask, _ = read_mask_and_palette(entry['seg_map_path'])
        except DataError:
            continue
        if not mask_value_problem(mask, len(names), bool(values.first)):
            values.looks.append(look_at(Path(entry['seg_map_path']), mask))
    return values


def _count_pixels(check: DatasetCheck, values: MaskValues) -> None:
    report = check.report
    by_name = dict(zip(values.names, values.of_classes.tolist(), strict=True))
    report.per_class = {name: by_name[name] for name in check.classes}
    report.annotations = int(values.pixels.sum())
    report.annotations_used = sum(report.per_class.values())
    report.discarded['ignored_pixels'] = report.annotations - report.annotations_used
    absent = [name for name in check.classes if not by_name[name]]
    if absent:
        shown = ', '.join(map(repr, absent))
        report.warning('class_absent', report.source, f'no mask has pixels of {shown}')


def _picture_fault(path: Path) -> DataError | None:
    try:
        read_image(str(path), bits=16)
    except DataError as error:
        return error
    return None


def _read_pairs(
    check: DatasetCheck, pairs: Sequence[tuple[Path | None, Path]], values: MaskValues
) -> dict[Path, tuple[int, int]]:
    """Read masks, and in the full check their images; count the pixels of each value.

    Returns:
        Mask -> its (height, width).
    """
    sizes: dict[Path, tuple[int, int]] = {}
    names, reduce_zero = values.names, bool(values.first)
    palette = (check.settings.get('metainfo') or {}).get('palette')

    def examine(
        pair: tuple[Path | None, Path],
    ) -> tuple[list[tuple[str, DataError]], MaskLook | None, str | None]:
        image_path, mask_path = pair
        problems: list[tuple[str, DataError]] = []
        shape = None
        if image_path is not None and check.depth == 'all':
            try:
                shape = read_image(str(image_path), bits=16).shape[:2]
            except DataError as error:
                problems.append(('broken_image', error))
        elif image_path is not None and check.depth == 'sample':
            shape = size_of(image_path)
        try:
            mask, colors = read_mask_and_palette(str(mask_path))
        except DataError as error:
            return [*problems, ('broken_mask', error)], None, None
        sizes[mask_path] = mask.shape[:2]
        if shape and mask.shape != shape:
            message = (
                f'{mask_path}: expected {shape[1]}x{shape[0]} pixels (width x height) as in '
                f'{image_path}, found {mask.shape[1]}x{mask.shape[0]}{_turned(image_path)}'
            )
            problems.append(('mask_size', DataError(message)))
        if problem := mask_value_problem(mask, len(names), reduce_zero):
            return [*problems, ('value', DataError(f'{mask_path}: {problem}'))], None, None
        look = look_at(mask_path, mask)
        differs = palette_problem(colors, np.flatnonzero(look.pixels), values.first, palette)
        return problems, look, differs and f'{mask_path}: {differs}'

    differing = []
    for problems, look, differs in check.examine(examine, pairs):
        for kind, error in problems:
            check.broken(kind, error)
        if look is not None:
            values.looks.append(look)
        if differs:
            differing.append(differs)
    if differing:
        where, _, message = differing[0].partition(': ')
        message = f'{message} ({len(differing)} of {len(pairs)} masks)'
        check.report.warning('palette', where, message)
    return sizes


def _turned(image_path: Path | None) -> str:
    code = 1 if image_path is None else orientation_of(image_path)
    return f' (the picture is turned by its EXIF orientation, {code})' if code != 1 else ''
