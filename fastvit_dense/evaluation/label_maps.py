"""Label maps as PNG files, and the true ones of a dataset whose images are not needed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope
from PIL import Image

from ..checkpoints.files import replacing
from ..datasets.check.common import check_no_cycle
from ..datasets.mask_reading import read_mask
from ..errors import DataError, MissingFileError, PredictionError, reason_of

LOADING = ('LoadAnnotations', 'LoadCheckedMask')


def write_label_map(path: Path, labels: np.ndarray) -> None:
    """Write class indices (H, W) as a PNG, 8 bits where they fit and 16 where not."""
    if labels.size and (labels.min() < 0 or labels.max() > 65535):
        raise PredictionError(f'{path}: class indices must be in 0..65535')
    dtype = np.uint8 if not labels.size or labels.max() < 256 else np.uint16
    with replacing(path) as part:
        Image.fromarray(labels.astype(dtype)).save(part)


def read_label_map(path: Path) -> np.ndarray:
    """Read class indices (H, W) as `read_mask` does; raises PredictionError where it cannot."""
    try:
        return read_mask(str(path)).astype(np.int64)
    except DataError as error:
        raise PredictionError(reason_of(error)) from None


def build_lazily(dataset: dict) -> Any:
    """Build a dataset from its config without reading its files and without its pipeline."""
    with DefaultScope.overwrite_default_scope(_scope(dataset)):
        return DATASETS.build({**dataset, 'lazy_init': True, 'pipeline': []})


def truth_of_dataset(config: dict, dataset: Any) -> tuple[list[str], Iterator[np.ndarray]]:
    """Image paths of an mmseg dataset, and its true label maps (H, W) in the same order.

    Where the folder of images is missing, the images are those of the label maps.

    Args:
        config: The dataset's config, for the loading of label maps in its pipeline.
        dataset: The dataset, from `build_lazily`.
    """
    steps = [s for s in config.get('pipeline', ()) if s['type'].endswith(LOADING)]
    with DefaultScope.overwrite_default_scope(_scope(config)):
        load = TRANSFORMS.build(steps[0] if steps else {'type': 'LoadAnnotations'})
    image_dir = dataset.data_prefix.get('img_path') or ''
    truth_dir = dataset.data_prefix.get('seg_map_path') or ''
    if not os.path.isdir(truth_dir):
        raise MissingFileError(f'no folder of true label maps at {truth_dir!r}')
    suffix, with_images = dataset.img_suffix, os.path.isdir(image_dir)
    if not with_images:
        dataset.data_prefix['img_path'] = truth_dir
        dataset.img_suffix = dataset.seg_map_suffix
    for folder in {truth_dir, dataset.data_prefix['img_path']}:
        check_no_cycle(Path(folder))
    dataset.full_init()
    images = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
    if not with_images:
        below = [os.path.relpath(path, truth_dir)[: -len(dataset.img_suffix)] for path in images]
        images = [os.path.join(image_dir, name + suffix) for name in below]
    infos = map(dataset.get_data_info, range(len(dataset)))
    return images, (load(info)['gt_seg_map'] for info in infos)


def _scope(config: dict) -> str:
    current = DefaultScope.get_current_instance()
    return config.get('_scope_') or (current.scope_name if current else 'mmseg')
