"""The check of a `CocoPanopticDataset`: annotation file, classes, PNGs and pictures."""

from pathlib import Path

from ...errors import DataError, MissingFileError
from ..formats.panoptic import read_panoptic
from .common import DatasetCheck


def check_panoptic(check: DatasetCheck) -> None:
    """Check a panoptic dataset; `check` says which one and takes the findings."""
    report = check.report
    path = Path(check.built.ann_file)
    folders = check.built.data_prefix
    report.source = str(path)
    if not check.found_on_disk(path, 'annotation file'):
        return
    try:
        content = read_panoptic(str(path), folders.get('seg', ''))
    except (DataError, MissingFileError) as error:
        report.error('annotation_file', path, str(error).removeprefix(f'annotation file {path}: '))
        return
    report.images = len(content['images'])
    report.annotations = sum(len(entry['segments_info']) for entry in content['annotations'])
    known = {category['name'] for category in content['categories']}
    absent = [name for name in check.classes if name not in known]
    if absent:
        report.error('classes', path, f'no category {absent[0]!r} among the {len(known)} there')
    if check.depth == 'annotations':
        return
    files = [(folders.get('seg', ''), entry['file_name']) for entry in content['annotations']]
    files += [(folders.get('img', ''), image.get('file_name') or '') for image in content['images']]
    missing = [Path(folder, name) for folder, name in files if not Path(folder, name).is_file()]
    if missing:
        report.error('missing', missing[0], f'no such file ({len(missing)} are missing)')
