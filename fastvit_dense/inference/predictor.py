"""From a config and a checkpoint to a model that is called with pictures."""

import copy
import os
import warnings
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from PIL import Image

from ..checkpoints.model import load_model_state
from ..checkpoints.published import LICENCES, OF_CONFIG, PUBLISHED, published_name
from ..config.building import explained_building, quiet_log
from ..config.checks import check_channels, check_test_cfg
from ..config.loaders import dataset_classes, datasets_of
from ..config.reading import CONFIGS, find_config, remove_pretrained
from ..datasets.bit_depth import stated_bits, to_bytes
from ..datasets.decoding import picture_array
from ..datasets.loading import replace_loading
from ..datasets.picture_files import check_file, size_problem
from ..errors import DataError, ImageError, reason_of
from ..results.base import Result
from ..tasks import task_of
from ..tasks.config import load_config
from .exported import exported_model_cfg, is_exported
from .strips import labels_in_strips

TRUTH_LOADERS = ('LoadAnnotations', 'LoadCheckedMask', 'LoadPanopticAnnotations')
ImageInput = str | os.PathLike | Image.Image | np.ndarray


def load_model(
    model: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> 'Predictor':
    """Build a model and load its weights, ready to be called with pictures.

    Args:
        model: Config file, the name of a shipped config ('maskrcnn_fastvit_sa24', from any
            folder), or a config read by `load_config`.
        checkpoint: Weights, loaded strictly: a file, address or published name. None takes the
            published ones of a shipped config that is named, where there are any
            (`checkpoints.published.OF_CONFIG`), and says what they may be used for; else it leaves
            them random, with a warning. Or a file of `tools/export.py` (.onnx, .xml), which runs
            in their place on the CPU.
        device: Where to run; by default the first GPU, or the CPU.

    Returns:
        `predictor(image)` gives a result, `predictor([image, ...])` a list of them. An image is a
        path, a PIL image or an (H, W, 3) uint8 array, RGB.

    Raises:
        ConfigError, CheckpointError, CheckpointMismatch, ExportError: With the file and what is
            wrong.
    """
    if isinstance(model, Config):
        cfg = model
    else:
        cfg = load_config(model, pretrained=False)
        checkpoint = checkpoint or _published_weights(model)
    if checkpoint is not None and is_exported(checkpoint):
        return Predictor(MODELS.build(exported_model_cfg(cfg, checkpoint)).eval(), cfg)
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    with explained_building(cfg):
        network = build_model(cfg)
        if checkpoint is None:
            name = cfg.filename or 'model'
            warnings.warn(f'{name}: no checkpoint, random weights', stacklevel=2)
        else:
            load_model_state(network, os.fspath(checkpoint))
        predictor = Predictor(network.to(device).eval(), cfg)
    name = published_name(str(checkpoint))
    if name in PUBLISHED:
        licence = PUBLISHED[name].licence
        told = LICENCES[licence] if licence else 'not known here'
        predictor.weights = {'file': name, 'licence': told}
    return predictor


def _published_weights(config: str | os.PathLike) -> str | None:
    """Name the published weights of a shipped config; None where there are none."""
    path = find_config(config)
    return OF_CONFIG.get(path.stem) if path.parent.resolve() == CONFIGS.resolve() else None


def build_model(cfg: Config) -> torch.nn.Module:
    """Build the model of a config with initialised weights; no pretrained file is looked for.

    Raises:
        ConfigError: `in_channels` behind the backbone are not the backbone's, or a segmentor's
            `test_cfg` does not fit together.
    """
    check_test_cfg(cfg)
    check_channels(cfg)
    scope = cfg.get('default_scope') or 'mmengine'
    init_default_scope(scope)
    model_cfg = cfg.model.copy()
    remove_pretrained(model_cfg)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(model_cfg)
        check_channels(cfg, model)
        with quiet_log():
            model.init_weights()
    return model


class Predictor:
    """A model with its preprocessing.

    Args:
        model: A detector, segmentor or hand regressor, in eval mode.
        cfg: Its config, of which the test pipeline, classes and task are used.

    Attributes:
        weights: Of published weights the name and the licence, which stand in each result, too.
    """

    weights: dict[str, str] | None = None

    def __init__(self, model: torch.nn.Module, cfg: Config) -> None:
        self.model: Any = model
        self.cfg = cfg
        self.task = task_of(cfg)
        scope = cfg.get('default_scope')
        dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
        self.classes = dataset_classes(dataset, scope) or ()
        self.palette = (dataset.get('metainfo') or {}).get('palette')
        self.bits = stated_bits(cfg)
        steps = copy.deepcopy([s for s in dataset.pipeline if s['type'] not in TRUTH_LOADERS])
        replace_loading(steps, 0, None, self.bits)
        with DefaultScope.overwrite_default_scope(scope):
            self.load = Compose(steps[:1])
            self.transform = Compose(steps[1:])

    @overload
    def __call__(self, images: ImageInput) -> Result: ...

    @overload
    def __call__(self, images: list[ImageInput] | tuple[ImageInput, ...]) -> list[Result]: ...

    def __call__(
        self, images: ImageInput | list[ImageInput] | tuple[ImageInput, ...]
    ) -> Result | list[Result]:
        """Predict one picture, or each of a list."""
        if isinstance(images, list | tuple):
            return [self.predict(image) for image in images]
        return self.predict(images)

    @torch.inference_mode()
    def predict(self, image: ImageInput) -> Result:
        """Predict one picture.

        Raises:
            ImageError: The picture cannot be read.
        """
        results = self._read(image)
        rgb = np.ascontiguousarray(results['img'][..., ::-1])
        batch = pseudo_collate([self.transform(results)])
        with labels_in_strips(self.model):
            (sample,) = self.model.test_step(batch)
        return self.to_result(sample, rgb)

    def _read(self, image: ImageInput) -> dict:
        """Return the results dict that the test pipeline starts from: the image as BGR."""
        if isinstance(image, str | os.PathLike):
            path = Path(image)
            if not path.is_file():
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
        array = self._rgb(image)
        shape = array.shape[:2]
        bgr = np.ascontiguousarray(array[..., ::-1])
        return {'img': bgr, 'img_path': '', 'img_id': 0, 'img_shape': shape, 'ori_shape': shape}

    def _rgb(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 of a PIL image or an array of whole numbers, RGB."""
        if isinstance(image, Image.Image):
            name = getattr(image, 'filename', '') or f'PIL image of mode {image.mode}'
            try:
                return to_bytes(picture_array(image), self.bits, name)
            except DataError as error:
                message = str(error).removeprefix(f'{name}: ')
                raise ImageError(f'{name}: {message}') from None
        array = np.asarray(image)
        found = f'shape {array.shape} of {array.dtype}'
        if array.ndim != 3 or array.shape[2] != 3 or not array.size:
            raise ImageError(f'expected an (H, W, 3) uint8 array, found {found}')
        try:
            return to_bytes(array, self.bits, f'array of {found}')
        except DataError as error:
            raise ImageError(f'expected an (H, W, 3) uint8 array, found {found}; {error}') from None

    def to_result(self, sample: object, image: np.ndarray) -> Result:
        """Turn a data sample of the model into a result; `image` is (H, W, 3) uint8, RGB."""
        result = self.task.result(sample, image, self.model, self.classes, self.palette)
        result.weights = self.weights
        return result
