"""Pictures as models take them: from a path, an address, bytes, a PIL image or an array."""

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from ..datasets.bit_depth import stated_bits, to_bytes
from ..datasets.decoding import picture_array
from ..datasets.loading import read_image_bytes, replace_loading
from ..datasets.picture_files import check_file, size_problem
from ..errors import DataError, ImageError, reason_of
from .addresses import download, is_address

TRUTH_LOADERS = ('LoadAnnotations', 'LoadCheckedMask', 'LoadPanopticAnnotations')
ImageInput = str | os.PathLike | bytes | Image.Image | np.ndarray


class PictureReader:
    """The test pipeline of a config without the steps that read the truth.

    Args:
        cfg: The config.
        dataset: Its dataset whose pipeline is used.

    Attributes:
        load: The first step, which reads a file.
        transform: The others.
    """

    def __init__(self, cfg: Config, dataset: ConfigDict) -> None:
        self.bits = stated_bits(cfg)
        steps = copy.deepcopy([s for s in dataset.pipeline if s['type'] not in TRUTH_LOADERS])
        replace_loading(steps, 0, None, self.bits)
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            self.load = Compose(steps[:1])
            self.transform = Compose(steps[1:])

    def __call__(self, image: ImageInput) -> tuple[dict, np.ndarray]:
        """Read a picture.

        Returns:
            What the network takes, and the picture, (H, W, 3) uint8, RGB.

        Raises:
            ImageError: It cannot be read.
        """
        results = self.read(image)
        rgb = np.ascontiguousarray(results['img'][..., ::-1])
        try:
            return self.transform(results), rgb
        except Exception as error:  # such as a line of pixels that resizing leaves nothing of
            size = f'{rgb.shape[1]}x{rgb.shape[0]}'
            reason = reason_of(error).splitlines()[0]
            raise ImageError(
                f'{results.get("img_path") or "array"}: {size} pixels, cannot be prepared: {reason}'
            ) from error

    def read(self, image: ImageInput) -> dict:
        """Return the results dict that the test pipeline starts from: the image as BGR."""
        if is_address(image):
            return _results(_decode(download(image), image, self.bits), image)
        if isinstance(image, str | os.PathLike):
            return self._read_file(Path(image))
        if isinstance(image, bytes):
            return _results(_decode(image, f'{len(image)} bytes', self.bits), '')
        return _results(np.ascontiguousarray(self._rgb(image)[..., ::-1]), '')

    def _read_file(self, path: Path) -> dict:
        if os.path.isdir(path):
            raise ImageError(f'{path}: expected a picture, found a folder; `stream` takes folders')
        if not os.path.isfile(path):  # False, too, for what no file can be named
            raise ImageError(f'{path}: no such file')
        try:
            check_file(path)
        except DataError as error:
            raise ImageError(str(error)) from error
        if problem := size_problem(path):
            raise ImageError(f'{path}: {problem}')
        try:
            results = self.load({'img_path': str(path), 'img_id': 0})
        except DataError as error:
            raise ImageError(str(error)) from error
        except Exception as error:
            raise ImageError(
                f'{path}: cannot be decoded as an image: {reason_of(error)}'
            ) from error
        if results is None or results.get('img') is None:
            raise ImageError(f'{path}: cannot be decoded as an image')
        return results

    def _rgb(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 of a PIL image or an array of whole numbers, RGB."""
        if isinstance(image, Image.Image):
            name = getattr(image, 'filename', '') or f'PIL image of mode {image.mode}'
            try:
                return to_bytes(picture_array(image), self.bits, name)
            except DataError as error:
                message = str(error).removeprefix(f'{name}: ')
                raise ImageError(f'{name}: {message}') from None
        try:
            array = np.asarray(image)
        except Exception as error:  # such as a tensor on a GPU, or rows of several lengths
            raise ImageError(
                f'expected an (H, W, 3) uint8 array, found {type(image).__name__}: '
                f'{reason_of(error)}'
            ) from error
        if array.dtype == object or not array.ndim:
            raise ImageError(
                'expected a path, an address, bytes, a PIL image or an (H, W, 3) uint8 array, '
                f'found {type(image).__name__}; `stream` takes what yields pictures'
            )
        found = f'shape {array.shape} of {array.dtype}'
        if array.ndim != 3 or array.shape[2] != 3 or not array.size:
            raise ImageError(f'expected an (H, W, 3) uint8 array, found {found}')
        try:
            return to_bytes(array, self.bits, f'array of {found}')
        except DataError as error:
            raise ImageError(f'expected an (H, W, 3) uint8 array, found {found}; {error}') from None


def _results(bgr: np.ndarray, path: str) -> dict[str, Any]:
    shape = bgr.shape[:2]
    return {'img': bgr, 'img_path': path, 'img_id': 0, 'img_shape': shape, 'ori_shape': shape}


def _decode(data: bytes, name: str, bits: int | None) -> np.ndarray:
    """(H, W, 3) uint8, BGR, of the bytes of a picture file."""
    try:
        return read_image_bytes(data, name, bits)
    except DataError as error:
        raise ImageError(str(error)) from error
