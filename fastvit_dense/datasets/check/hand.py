"""The check of FreiHAND data."""

import numpy as np

from ...config.types import refused_argument
from ...errors import DataError, reason_of
from ...hand.camera import project
from ...hand.mano import FINGERTIP_VERTICES
from ...hand.units import check_unit
from ..freihand import FreiHAND
from ..freihand_files import annotation_prefix
from ..loading import read_image
from .findings import DatasetReport, Finding


def check_freihand(dataset: dict, report: DatasetReport, depth: str) -> None:
    """Look for what is wrong with a FreiHAND tree.

    Args:
        dataset: The dataset's part of a config; its pipeline is not used.
        report: Takes counts and findings.
        depth: One of `DEPTHS`; 'all' opens 500 of the images, evenly spread.
    """
    report.source = str(dataset.get('data_root', 'data/freihand'))
    settings = {k: v for k, v in dataset.items() if k not in ('type', 'pipeline', '_scope_')}
    try:
        data = FreiHAND(**{**settings, 'serialize_data': False, 'lazy_init': False})
    except (OSError, TypeError, ValueError) as error:
        reason = refused_argument(FreiHAND, settings, error) or reason_of(error)
        where, _, message = reason.partition(': ')
        report.error('dataset', where if message else report.source, message or reason)
        return
    report.images = report.images_used = len(data)
    report.annotations = report.annotations_used = len(data.annotations['K'])
    _check_annotations(data.annotations, annotation_prefix(data.ann_file).name, report)
    opened = np.unique(np.linspace(0, len(data) - 1, min(len(data), 500)).astype(int))
    for index in opened.tolist() if depth == 'all' else ():
        _check_image(data.get_data_info(index)['img_path'], report)


def _check_image(path: str, report: DatasetReport) -> None:
    try:
        height, width = read_image(path).shape[:2]
    except DataError as error:
        report.error('broken_image', path, str(error).removeprefix(f'{path}: '))
        return
    if (height, width) != (224, 224):
        message = f'expected 224 x 224 pixels, found {width} x {height}'
        report.warning('image_size', path, message)


def _check_annotations(arrays: dict[str, np.ndarray], name: str, report: DatasetReport) -> None:
    """Statements that hold for the published annotations; one message each, with the first entry.

    FreiHAND v2: metres, hands before the camera and within the image, `scale` = length of the
    middle finger's first bone, fingertips = vertices of the mesh.
    """
    if 'xyz' not in arrays:
        report.warning('no_ground_truth', name, 'no xyz: it serves for prediction, not for scoring')
        return
    xyz = np.asarray(arrays['xyz'], np.float64)
    try:
        check_unit(xyz, f'{name}_xyz.json')
    except DataError as error:
        file = f'{name}_xyz.json'
        report.error('unit', file, str(error).removeprefix(f'{file}: '))
        return
    z = xyz[..., 2]
    uv = project(np.where(z[..., None] > 0, xyz, (0.0, 0.0, 1.0)), arrays['K'])
    bone = np.linalg.norm(xyz[:, 9] - xyz[:, 10], axis=-1)
    checks = [
        ('error', 'outside', 'joints before the camera (z > 0)', (z > 0).all(1)),
        ('warning', 'outside', 'at least half of the joints inside the image',
         ((uv >= 0) & (uv <= 224)).all(-1).mean(1) >= 0.5),
        ('warning', 'unit', "scale = length of the middle finger's first bone",
         np.abs(bone - arrays['scale']) < 1e-4 + 0.01 * bone),
    ]  # fmt: skip
    if 'verts' in arrays:
        tips = np.asarray(arrays['verts'][:, FINGERTIP_VERTICES], np.float64)
        apart = np.linalg.norm(tips - xyz[:, 4::4], axis=-1)
        checks.append(('warning', 'fingertips', 'fingertips of xyz = vertices 744 320 443 555 672 '
                       'of verts (not so in version 1 of the dataset)',
                       (apart < 1e-3).all(1)))  # fmt: skip
    if 'mano' in arrays:
        checks.append(('warning', 'mano', 'betas between -10 and 10',
                       (np.abs(arrays['mano'][:, 48:58]) < 10).all(1)))  # fmt: skip
    for severity, kind, text, good in checks:
        if not good.all():
            message = (
                f'expected {text}, found otherwise in {int((~good).sum())} of {len(good)} entries, '
                f'first entry {int(np.argmin(good))}'
            )
            report.add(Finding(severity, kind, name, message))
