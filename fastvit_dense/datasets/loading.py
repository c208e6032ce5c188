"""Reading pictures and class masks, so that a bad file is one error that names it.

The two transforms take the place of mmcv's `LoadImageFromFile` and mmseg's `LoadAnnotations`.
`use_checked_loading` puts them into the pipelines of any config; the configs themselves keep the
names that mmdet's and mmseg's own tools look for.
"""

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS

from ..config.loaders import LOADERS, dataset_classes, datasets_of, evaluators_of
from ..config.types import base_names, find_type
from ..config.walk import dicts_of
from ..errors import DataError
from .bit_depth import stated_bits, to_bytes
from .decoding import decode_image, orientation_of
from .mask_reading import IGNORED, mask_value_problem, read_mask
from .picture_files import image_problem, read_stored_bytes

MAX_BROKEN_IMAGES = 10  # broken images that training skips before it stops
BROKEN_IMAGES = 'broken_images.txt'  # in the work dir: those that training met


def read_image(
    path: str,
    color_type: str = 'color',
    backend: str = 'cv2',
    backend_args: dict | None = None,
    bits: int | None = None,
) -> np.ndarray:
    """Read an image: (H, W, 3) uint8 BGR, EXIF orientation applied, bands after the third left out.

    Other arguments than the first read it as `mmcv.imread` does.

    Args:
        path: The file.
        color_type: As `flag` of `mmcv.imread`.
        backend: As in `mmcv.imread`.
        backend_args: Arguments of mmengine's file backend.
        bits: Significant bits of a file of more than 8 bits a channel, see `bit_depth`; None: those
            of its highest value, with a warning.

    Raises:
        DataError: The file is missing, empty, truncated, no image, or of a kind that is not read.
    """
    data = read_stored_bytes(path, backend_args)
    if color_type != 'color' or backend != 'cv2':
        problem = image_problem(data)
        if problem:
            raise DataError(f'{path}: {problem}')
        return _read_as_mmcv(path, data, color_type, backend)
    return read_image_bytes(data, path, bits)


def read_image_bytes(data: bytes, name: str, bits: int | None = None) -> np.ndarray:
    """Decode the bytes of a picture file as `read_image` does; `name` is for messages."""
    problem = image_problem(data)
    if problem:
        raise DataError(f'{name}: {problem}')
    try:
        array = decode_image(data)
    except DataError as error:
        raise DataError(f'{name}: {error}') from None
    return to_bytes(array, bits, name)


def _read_as_mmcv(path: str, data: bytes, color_type: str, backend: str) -> np.ndarray:
    try:
        image = mmcv.imfrombytes(data, flag=color_type, backend=backend)
    except (cv2.error, OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f'{path}: expected an image, found a file that cannot be decoded'
        ) from error
    if image is None:
        raise DataError(f'{path}: expected an image, found a file that cannot be decoded')
    return image


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """`LoadImageFromFile` that names the file which cannot be used.

    An image is broken when it is missing, empty, truncated, no image, or of another size than
    the annotations say.

    Args:
        skip_broken: How many different broken images training skips, with a warning and another
            image in their place, before it stops. 0: stop at the first, as evaluation must.
        record: Text file of the broken images, through which all processes that load data, of all
            ranks, count together. None: each counts for itself.
        bits: Significant bits of pictures of more than 8, see `read_image`.
        **kwargs: Those of mmcv's `LoadImageFromFile`.

    Raises:
        DataError: A broken image in evaluation, or one too many in training.
    """

    def __init__(
        self,
        skip_broken: int = 0,
        record: str | None = None,
        bits: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.skip_broken = skip_broken
        self.record = record
        self.bits = bits
        self.broken: dict[str, None] = {}  # in the order in which they were met

    def transform(self, results: dict) -> dict | None:
        """Read `img_path` into `img`, `img_shape`, `ori_shape`; None: take another image."""
        path = results['img_path']
        try:
            image = read_image(
                path, self.color_type, self.imdecode_backend, self.backend_args, self.bits
            )
            check_size(path, image.shape[:2], results)
        except DataError as error:
            self._skip(path, error)
            return None
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _skip(self, path: str, error: DataError) -> None:
        if not self.skip_broken:
            raise error
        if path in self.broken:
            return
        self.broken[path] = None
        if self.record:
            self._share(path, self.record)
        count = 1 + list(self.broken).index(path)
        if count > self.skip_broken:
            raise DataError(
                f'{error} (broken image {count}, more than the {self.skip_broken} that training '
                'skips); fastvit-dense check-data CONFIG lists all of them'
            )
        print_log(
            f'{error}: skipped (broken image {count} of at most {self.skip_broken})',
            'current',
            logging.WARNING,
        )

    def _share(self, path: str, record: str) -> None:
        """Tell the other processes of a broken image, and hear of theirs."""
        with Path(record).open('a+', encoding='utf-8', errors='surrogatepass') as file:
            # what is appended at once stays whole
            file.write(f'{json.dumps(path, ensure_ascii=False)}\n')
            file.flush()
            file.seek(0)
            self.broken = dict.fromkeys(map(json.loads, file))


def check_size(path: str, shape: tuple[int, int], entry: dict) -> None:
    """Compare (height, width) of an image with `height` and `width` of its annotation, if any.

    Raises:
        DataError: They differ.
    """
    expected = entry.get('height'), entry.get('width')
    if None not in expected and expected != tuple(shape):
        code = orientation_of(path)
        turned = (
            f' (the picture is turned by its EXIF orientation, {code}; annotate it as it is seen, '
            'or write it again without it)'
        )
        raise DataError(
            f'{path}: expected {expected[1]}x{expected[0]} pixels (width x height) as the '
            f'annotations say, found {shape[1]}x{shape[0]}{turned if code != 1 else ""}'
        )


@TRANSFORMS.register_module()
class LoadCheckedMask(BaseTransform):
    """mmseg's `LoadAnnotations` that refuses a mask which does not fit image or classes.

    Args:
        num_classes: Number of classes of the files, before any of them are left out.
        reduce_zero_label: As in mmseg; the dataset's setting holds, another one here is refused.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        DataError: The mask is missing, broken, a colour picture, of another size than the
            image, or holds values outside the classes.
    """

    def __init__(
        self,
        num_classes: int,
        reduce_zero_label: bool | None = None,
        backend_args: dict | None = None,
    ) -> None:
        self.num_classes = num_classes
        self.reduce_zero_label = reduce_zero_label
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Read `seg_map_path` into `gt_seg_map`, (H, W) uint8; 255 is ignored."""
        path = results['seg_map_path']
        reduce_zero = results['reduce_zero_label']
        if self.reduce_zero_label not in (None, reduce_zero):
            raise DataError(
                f'{path}: expected reduce_zero_label={reduce_zero} as in the dataset, found '
                f'{self.reduce_zero_label} in the pipeline'
            )
        mask = read_mask(path, self.backend_args)
        if 'ori_shape' in results and mask.shape != tuple(results['ori_shape'][:2]):
            height, width = results['ori_shape'][:2]
            raise DataError(
                f'{path}: expected {width}x{height} pixels (width x height) as in '
                f'{results["img_path"]}, found {mask.shape[1]}x{mask.shape[0]}'
            )
        problem = mask_value_problem(mask, self.num_classes, reduce_zero)
        if problem:
            raise DataError(f'{path}: {problem}')
        labels: np.ndarray = np.full(256, IGNORED, np.uint8)
        labels[: self.num_classes] = np.arange(self.num_classes)
        for old, new in (results.get('label_map') or {}).items():
            labels[old] = new
        if reduce_zero:
            labels = np.concatenate([[np.uint8(IGNORED)], labels[:-2], [np.uint8(IGNORED)]])
        results['gt_seg_map'] = labels[mask]
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results


def use_checked_loading(cfg: Config) -> None:
    """Put the checked loading into the pipelines of every dataloader of a config, in place.

    `LoadImageFromFile` becomes `LoadCheckedImage`, which skips up to `MAX_BROKEN_IMAGES` in
    training and lists them in the work dir; `LoadAnnotations` of an mmseg dataset becomes
    `LoadCheckedMask`, and goes where the evaluator wants predictions only (`format_only`): there
    may be no masks.
    """
    bits = stated_bits(cfg)
    record = str(Path(cfg.work_dir, BROKEN_IMAGES)) if cfg.get('work_dir') else None
    for loader in LOADERS:
        skip = MAX_BROKEN_IMAGES if loader == 'train_dataloader' else 0
        metrics = evaluators_of(cfg, loader.replace('dataloader', 'evaluator'))
        scored = not metrics or not all(metric.get('format_only') for metric in metrics)
        for dataset in datasets_of(cfg, [loader]):
            masks = mask_classes(dataset, cfg.get('default_scope'))
            if masks and not scored:
                dataset.pipeline = [s for s in dataset.pipeline if not _loads_annotations(s)]
            replace_loading(dataset.get('pipeline'), skip, masks, bits, record if skip else None)


def _loads_annotations(step: dict) -> bool:
    return str(step['type']).rpartition('.')[2] in ('LoadAnnotations', 'LoadCheckedMask')


def mask_classes(dataset: ConfigDict, scope: str | None) -> int | None:
    """Number of classes in the mask files of an mmseg dataset; None for other datasets."""
    cls = find_type(dataset.get('type'), dataset.get('_scope_', scope))
    if 'BaseSegDataset' not in base_names(cls):
        return None
    classes = cls.METAINFO.get('classes') or dataset_classes(dataset, scope)
    return len(classes) if classes else None


def replace_loading(
    pipeline: Any,
    skip_broken: int,
    num_classes: int | None,
    bits: int | None,
    record: str | None = None,
) -> None:
    """Put the checked loading into one pipeline, in place; see `use_checked_loading`."""
    for _, step in dicts_of(pipeline):
        kind = step.get('type')
        name = kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')
        if name == 'LoadImageFromFile':
            step.pop('ignore_empty', None)
            step.update(type='LoadCheckedImage', skip_broken=skip_broken)
            if record:
                step['record'] = record
        elif name == 'LoadAnnotations' and num_classes:
            step.pop('imdecode_backend', None)
            step.update(type='LoadCheckedMask', num_classes=num_classes)
        if bits and name in ('LoadImageFromFile', 'LoadCheckedImage'):  # the latter of checkpoints
            step['bits'] = bits
