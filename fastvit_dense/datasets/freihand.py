"""The FreiHAND dataset (Zimmermann et al., ICCV 2019), in its official folder layout."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from ..errors import ConfigError, DataError, MissingFileError
from ..hand.mano import ManoModel
from .freihand_files import FIELDS, annotation_prefix, read_annotations

VERSIONS = ('gs', 'hom', 'sample', 'auto')  # in the order of the image numbers
NUM_BLOCKS = 200  # of consecutive annotations
VAL_EVERY = 20  # blocks
VAL_FIRST = 10


@DATASETS.register_module()
class FreiHAND(BaseDataset):
    """Images of one right hand each, with camera, joints, mesh and MANO parameters.

    Layout: `training/rgb/%08d.jpg`, `training/mask/%08d.jpg`, `evaluation/rgb/%08d.jpg` and
    `{training,evaluation}_{K,scale,xyz,verts,mano}.json` under `data_root`. Image number =
    annotation + number of annotations x version. The annotations are parsed at first use
    (`read_annotations`). Each sample holds `img_path`, `img_id` (image number), `annotation`,
    `version`, `is_right`, `K` (3, 3), `scale` and, where there are annotations, `joints`
    (21, 3), `vertices` (778, 3), `global_orient` (3, 3), `hand_pose` (15, 3, 3), `betas` (10,):
    metres, OpenCV camera frame, FreiHAND's joint order, float32.

    Args:
        data_root: The folder that holds the above.
        ann_file: Common part of the names of the annotation files, or any one of them; by
            default the split's name.
        data_prefix: `img` and `mask`: folders of the images and of the masks.
        split: `training` or `evaluation`. The evaluation set may lack all but K and scale.
        versions: Which of the training images: any of gs (green screen), hom, sample, auto.
        portion: `all`, or `train` and `val`, which share the annotations out: these fall
            into 200 blocks of consecutive numbers, because neighbours show similar poses, and
            every 20th block, from number 10 on, is for validation.
        mano: Whose mean pose to add to FreiHAND's pose numbers, which are offsets to it: a MANO
            file (`read_mano`), or `standin`. Without it `hand_pose` is left out.
        cache_dir: Folder for the parsed annotations, by default beside them.
        **kwargs: `pipeline`, `test_mode`, `indices`, ... of mmengine's `BaseDataset`.

    Raises:
        MissingFileError: The annotations or images are missing.
        DataError: A file is damaged.
    """

    METAINFO = {'dataset_name': 'FreiHAND'}

    def __init__(
        self,
        data_root: str = 'data/freihand',
        ann_file: str = '',
        data_prefix: dict | None = None,
        split: str = 'training',
        versions: tuple[str, ...] | str = VERSIONS,
        portion: str = 'all',
        mano: str | None = None,
        cache_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(versions, str):
            versions = (versions,)
        if not isinstance(versions, list | tuple):
            raise ConfigError(f'FreiHAND: versions: expected some of {VERSIONS}, found {versions}')
        versions = tuple(versions)
        if mano is not None and not isinstance(mano, str | os.PathLike):
            raise ConfigError(
                "FreiHAND: mano: expected the name of a MANO file, 'standin' or None, found "
                f'{mano!r}'
            )
        for name, value, allowed in (
            ('split', split, ('training', 'evaluation')),
            ('portion', portion, ('all', 'train', 'val')),
            *(('versions', version, VERSIONS) for version in versions),
        ):
            if value not in allowed:
                raise ConfigError(f'FreiHAND: {name}: expected one of {allowed}, found {value!r}')
        self.split = split
        self.versions = versions if split == 'training' else ('gs',)
        self.portion = portion
        self.cache_dir = cache_dir
        self.mano = mano
        self._arrays: dict[str, np.ndarray] | None = None
        folders = {'img': f'{split}/rgb', 'mask': f'{split}/mask'}
        super().__init__(
            ann_file=ann_file or split,
            data_root=str(data_root),
            data_prefix={**folders, **(data_prefix or {})},
            **kwargs,
        )

    @property
    def annotations(self) -> dict[str, np.ndarray]:
        """The split's arrays, see `read_annotations`; opened again in every process."""
        if self._arrays is None:
            required = FIELDS if self.split == 'training' else ('K', 'scale')
            self._arrays = read_annotations(self.ann_file, required, self.cache_dir)
        return self._arrays

    def __getstate__(self) -> dict:
        # a pickled memory map would be a copy of the whole array
        return {**self.__dict__, '_arrays': None}

    @cached_property
    def model(self) -> ManoModel | None:
        """Whose mean pose the pose numbers refer to; read when first needed."""
        return hand_named(self.mano) if self.mano else None

    def _all_numbers(self) -> list[int]:
        count = len(self.annotations['K'])
        indices = portion_indices(count, self.portion)
        return [i + count * VERSIONS.index(version) for version in self.versions for i in indices]

    def image_numbers(self) -> list[int]:
        """Numbers of this dataset's images in its order; no image need be there.

        The annotation of image number k is k modulo the number of annotations.
        """
        numbers = self._all_numbers()
        if isinstance(self._indices, int):
            return numbers[: self._indices] if self._indices >= 0 else numbers[self._indices :]
        return numbers if self._indices is None else [numbers[i] for i in self._indices]

    def load_data_list(self) -> list[dict]:
        """The number of each image; checks that all images and the MANO file are there."""
        numbers = self._all_numbers()
        count = len(self.annotations['K'])
        if not numbers:
            raise DataError(
                f'{annotation_prefix(self.ann_file)}: portion {self.portion!r}, versions '
                f'{self.versions}: expected at least one image, '
                f'found none among {count} annotations'
            )
        folder = Path(self.data_prefix['img'])
        found = set(os.listdir(folder)) if folder.is_dir() else set()
        missing = [number for number in numbers if _image_name(number) not in found]
        if missing:
            version, annotation = divmod(missing[0], count)
            raise MissingFileError(
                f'{folder / _image_name(missing[0])} (annotation {annotation}, '
                f'version {VERSIONS[version]}): no such image; {len(missing)} of '
                f'{len(numbers)} images that {annotation_prefix(self.ann_file)}_*.json asks '
                f'for are missing{self._instead(folder, found, count)}'
            )
        if 'mano' in self.annotations:
            _ = self.model
        return [{'img_id': number} for number in numbers]

    def _instead(self, folder: Path, found: set[str], count: int) -> str:
        """Say what there is where images are missing, and which setting fits it."""
        if not found:
            return f'; {folder} is no folder, or an empty one'
        whole = tuple(
            version
            for k, version in enumerate(VERSIONS)
            if all(_image_name(number + k * count) in found for number in range(count))
        )
        if self.split == 'training' and whole:
            return f'; all images of {", ".join(whole)} are there: versions={whole} takes these'
        if not any(_image_name(number) in found for number in self._all_numbers()):
            return f'; the folder holds {", ".join(sorted(found)[:3])}'
        return ''

    def get_data_info(self, idx: int) -> dict:
        """The sample as described above, before the pipeline."""
        info = super().get_data_info(idx)
        return {**info, **self.describe(info['img_id'])}

    def describe(self, number: int) -> dict:
        """All that is known of image `number`; the image need not be there."""
        arrays = self.annotations
        version, index = divmod(number, len(arrays['K']))
        name = _image_name(number)
        info = {
            'img_id': number,
            'annotation': index,
            'version': VERSIONS[version],
            'img_path': os.path.join(self.data_prefix['img'], name),
            'scale': float(arrays['scale'][index]),
            'is_right': True,
        }
        mask = os.path.join(self.data_prefix['mask'], name)
        if version == 0 and os.path.isfile(mask):
            info['mask_path'] = mask
        for field, key in (('K', 'K'), ('xyz', 'joints'), ('verts', 'vertices')):
            if field in arrays:
                info[key] = np.array(arrays[field][index])
        if 'mano' in arrays:
            info.update(decode_mano(arrays['mano'][index], self.model))
        return info


def portion_indices(count: int, portion: str) -> list[int]:
    """Annotation numbers of a portion (`all`, `train`, `val`) of `count` annotations."""
    indices = np.arange(count)
    block = indices * min(NUM_BLOCKS, count) // max(count, 1)
    is_val = block % VAL_EVERY == VAL_FIRST
    wanted = {'all': indices >= 0, 'train': ~is_val, 'val': is_val}[portion]
    return indices[wanted].tolist()


def decode_mano(values: np.ndarray, model: ManoModel | None = None) -> dict[str, np.ndarray]:
    """FreiHAND's 61 MANO numbers (freihand: utils/model.py) as rotations and shape.

    Args:
        values: (61,): axis-angle about the wrist joint [0:3], axis-angle offsets to the mean pose
            [3:48], betas [48:58], place of the root in the image [58:60] and scale [60]; the last
            three are not used, `verts` and `xyz` hold the exact place.
        model: Whose mean pose the offsets refer to.

    Returns:
        float32 `global_orient` (3, 3), `betas` (10,), and `hand_pose` (15, 3, 3), full rotations,
        if there is a model.
    """
    from pytorch3d.transforms import axis_angle_to_matrix

    from ..hand.rotations import pose_to_matrix

    numbers = torch.from_numpy(np.array(values, np.float32))
    decoded = {'global_orient': axis_angle_to_matrix(numbers[:3]), 'betas': numbers[48:58]}
    if model is not None:
        decoded['hand_pose'] = pose_to_matrix(numbers[3:48], 'freihand', model)
    return {name: value.numpy() for name, value in decoded.items()}


def _image_name(number: int) -> str:
    return f'{number:08d}.jpg'


def hand_named(mano: str) -> ManoModel:
    """The hand of a dataset's `mano`: a MANO file, or `standin`.

    Raises:
        MissingFileError, ManoFileError: See `read_mano`.
    """
    if mano == 'standin':
        from ..hand.standin import standin_mano

        return standin_mano()
    from ..hand.mano_io import read_mano

    return read_mano(mano)
