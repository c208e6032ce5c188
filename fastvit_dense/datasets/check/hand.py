"""The check of FreiHAND data."""

from collections import Counter
from pathlib import Path

import numpy as np

from ...config.types import refused_argument
from ...errors import DataError, ManoFileError, MissingFileError, reason_of
from ...hand.mano import ManoModel
from ...hand.units import HAND_SIZE, unit_of
from ..freihand import FreiHAND, hand_named
from ..freihand_files import annotation_prefix
from ..loading import read_image
from .findings import DatasetReport, Finding
from .hand_camera import check_cameras
from .hand_joints import check_joints
from .hand_mesh import check_mano_mesh

# depth -> pictures that are opened, entries whose MANO numbers and joints are laid over their mesh;
# evenly spread; None: all
OPENED = {'annotations': 16, 'sample': 16, 'all': 500}
LAID_OVER = {'annotations': 200, 'sample': 200, 'all': None}

EVERY_VERTEX = 37  # of a mesh tells its size


def check_freihand(dataset: dict, report: DatasetReport, depth: str) -> None:
    """Look for what is wrong with a FreiHAND tree.

    Args:
        dataset: The dataset's part of a config; its pipeline is not used.
        report: Takes counts and findings.
        depth: One of `DEPTHS`; 'all' opens 500 of the images, evenly spread, and lays the MANO
            numbers and joints of all entries over their mesh, else those of 200.
    """
    report.source = str(dataset.get('data_root', 'data/freihand'))
    left_out = ('type', 'pipeline', '_scope_', 'indices', 'mano')
    settings = {k: v for k, v in dataset.items() if k not in left_out}
    try:
        data = FreiHAND(**{**settings, 'serialize_data': False, 'lazy_init': True})
        if depth != 'annotations':
            data.full_init()
        numbers = data.image_numbers()
    except (OSError, TypeError, ValueError) as error:
        reason = refused_argument(FreiHAND, settings, error) or reason_of(error)
        where, _, message = reason.partition(': ')
        report.error('dataset', where if message else report.source, message or reason)
        return
    report.images = report.images_used = len(numbers)
    arrays = data.annotations
    report.annotations = report.annotations_used = len(arrays['K'])
    name = annotation_prefix(data.ann_file).name
    sizes = _picture_sizes(data, numbers, report, depth)
    if _check_annotations(arrays, name, report):
        _check_cameras(arrays, sizes, name, report)
        if 'verts' in arrays:
            verts, at_most = arrays['verts'], LAID_OVER[depth]
            model = _model(dataset, report)
            if 'mano' in arrays and model:
                where = f'{name}_mano.json'
                check_mano_mesh(arrays['mano'], verts, model, where, report, at_most)
            check_joints(arrays['xyz'], verts, model, name, report, at_most)


def _model(dataset: dict, report: DatasetReport) -> ManoModel | None:
    """The hand that the numbers are of; None where it is not here."""
    if not dataset.get('mano'):
        report.notes.append(
            'MANO numbers and joints not laid over the mesh, fingertips aside: the dataset names '
            'no `mano`'
        )
        return None
    try:
        return hand_named(dataset['mano'])
    except (MissingFileError, ManoFileError) as error:
        path, _, message = str(error).partition(': ')
        if isinstance(error, MissingFileError):
            message = f'the MANO numbers and joints are not laid over the mesh: {message}'
            report.warning('not_checked', path, message)
        else:
            report.error('mano', path, message)
    return None


def _picture_sizes(
    data: FreiHAND, numbers: list[int], report: DatasetReport, depth: str
) -> dict[int, tuple[int, int]]:
    """Entry -> width and height of its picture, of the pictures that were opened."""
    opened = np.linspace(0, len(numbers) - 1, min(len(numbers), OPENED[depth])).astype(int)
    paths, sizes, broken = {}, {}, []
    for number in [numbers[i] for i in np.unique(opened)]:
        known = data.describe(number)
        path = known['img_path']
        if depth == 'annotations' and not Path(path).is_file():
            continue
        try:
            height, width = read_image(path).shape[:2]
        except DataError as error:
            broken.append((path, str(error).removeprefix(f'{path}: ')))
            continue
        paths[path] = width, height
        sizes[known['annotation']] = width, height
    if depth == 'all' or (broken and not sizes and depth == 'sample'):
        for path, message in broken:
            report.error('broken_image', path, message)
    if depth == 'all' and (common := _common(list(paths.values()))):
        for path, size in paths.items():
            if size != common:
                expected = f'expected {common[0]} x {common[1]} pixels as the other pictures have'
                report.warning('image_size', path, f'{expected}, found {size[0]} x {size[1]}')
    return sizes


def _common(sizes: list[tuple[int, int]]) -> tuple[int, int] | None:
    """The size that most pictures have; None where they differ."""
    if not sizes:
        return None
    (size, count), *_ = Counter(sizes).most_common(1)
    return size if count > len(sizes) / 2 else None


def _check_cameras(
    arrays: dict[str, np.ndarray],
    sizes: dict[int, tuple[int, int]],
    name: str,
    report: DatasetReport,
) -> None:
    """See `check_cameras`: of all entries where the pictures have one size, else of those seen."""
    if common := _common(list(sizes.values())):
        sizes = dict.fromkeys(range(len(arrays['K'])), common)
    entries = np.array(sorted(sizes), int)
    xyz = np.asarray(arrays['xyz'][entries], np.float64)
    before = (xyz[..., 2] > 0).all(1)  # what is not has been told
    entries, xyz = entries[before], xyz[before]
    if len(entries):
        pixels = np.array([sizes[entry] for entry in entries.tolist()], float)
        K = np.asarray(arrays['K'][entries], np.float64)
        places = arrays['mano'][entries, 58:61] if 'mano' in arrays else None
        check_cameras(xyz, K, pixels, entries, name, report, places)


def _check_annotations(arrays: dict[str, np.ndarray], name: str, report: DatasetReport) -> bool:
    """Statements that hold for the published annotations; one message each, with the first entry.

    FreiHAND v2: metres, hands before the camera, `scale` = length of the middle finger's first
    bone.

    Returns:
        Whether there are joints and all are in metres.
    """
    if 'xyz' not in arrays:
        report.warning('no_ground_truth', name, 'no xyz: it serves for prediction, not for scoring')
        return False
    xyz = np.asarray(arrays['xyz'], np.float64)
    bone = np.linalg.norm(xyz[:, 9] - xyz[:, 10], axis=-1)
    common = np.full(len(xyz), HAND_SIZE)
    lengths = {'xyz': (_sizes(xyz), common)}
    if 'verts' in arrays:
        some = np.asarray(arrays['verts'][:, ::EVERY_VERTEX], np.float64)
        lengths['verts'] = _sizes(some), common
    in_metres = [_check_unit(name, field, *sizes, report) for field, sizes in lengths.items()]
    if not all(in_metres):
        return False
    scale_in_metres = _check_unit(name, 'scale', np.asarray(arrays['scale']), bone, report)
    checks: list[tuple[str, str, str, np.ndarray]] = [
        ('error', 'outside', 'joints before the camera (z > 0)', xyz[..., 2].min(1) > 0),
    ]
    if scale_in_metres:
        checks.append(('warning', 'unit', "scale = length of the middle finger's first bone",
                       np.abs(bone - arrays['scale']) < 1e-4 + 0.01 * bone))  # fmt: skip
    if 'mano' in arrays:
        checks.append(('warning', 'mano', 'betas between -10 and 10',
                       (np.abs(arrays['mano'][:, 48:58]) < 10).all(1)))  # fmt: skip
    for severity, kind, text, good in checks:
        if not good.all():
            message = (
                f'expected {text}, found otherwise in {int((~good).sum())} of {good.size} entries, '
                f'first entry {int(np.argmin(good))}'
            )
            report.add(Finding(severity, kind, name, message))
    return True


def _sizes(points: np.ndarray) -> np.ndarray:
    """Sizes (N,) of hands (N, V, 3), which single points that are far off do not change."""
    middle = np.median(points, axis=1, keepdims=True)
    return np.median(np.linalg.norm(points - middle, axis=-1), axis=1)


def _check_unit(
    name: str, field: str, found: np.ndarray, expected: np.ndarray, report: DatasetReport
) -> bool:
    """Tell whether lengths (N,) are in metres, as those beside them; note what they are if not."""
    odd = np.array([unit_of(*pair) is not None for pair in zip(found, expected, strict=True)])
    if not odd.any():
        return True
    size, common = float(np.median(found[odd])), float(np.median(expected[odd]))
    words, per_metre = unit_of(size, common) or ('several units', 1.0)
    step = f'Divide by {per_metre:.4g}' if per_metre > 1 else f'Multiply by {1 / per_metre:.4g}'
    where = f'in {int(odd.sum())} of {len(odd)} entries, first entry {int(np.argmax(odd))}'
    report.error(
        'unit',
        f'{name}_{field}.json',
        f'expected metres (a size of {common:.3g}), found {size:.3g} {where}: {words}? {step}',
    )
    return False
