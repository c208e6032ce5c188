"""From a config and a checkpoint to a model that is called with pictures."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from PIL import Image

from ..config.building import explained_building, quiet_log
from ..config.checks import check_channels
from ..config.loaders import dataset_classes, datasets_of
from ..errors import ImageError
from ..results.hand import HandResult, Result
from ..results.instance import InstanceResult
from ..results.semantic import SemanticResult
from ..tasks.base import task_of
from ..tasks.config import load_config
from .exported import exported_model_cfg, is_exported

TRUTH_LOADERS = ('LoadAnnotations', 'LoadCheckedMask', 'LoadPanopticAnnotations')
ImageInput = str | os.PathLike | Image.Image | np.ndarray


def load_model(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> 'Predictor':
    """Build a model and load its weights, ready to be called with pictures.

    Args:
        config: Config file, or a config read by `load_config`.
        checkpoint: Weights, loaded strictly; None leaves them random. Or a file of
            `tools/export.py` (.onnx, .xml), which runs in their place on the CPU.
        device: Where to run; by default the first GPU, or the CPU.

    Returns:
        `model(image)` gives a result, `model([image, ...])` a list of them. An image is a path,
        a PIL image or an (H, W, 3) uint8 array, RGB.

    Raises:
        ConfigError, CheckpointError, CheckpointMismatch, ExportError: With the file and what is
            wrong.
    """
    cfg = config if isinstance(config, Config) else load_config(config, pretrained=False)
    if is_exported(checkpoint):
        return Predictor(MODELS.build(exported_model_cfg(cfg, checkpoint)).eval(), cfg)
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    with explained_building(cfg):
        model = build_model(cfg)
        if checkpoint is not None:
            from ..checkpoints.model import load_model_state

            load_model_state(model, checkpoint)
        return Predictor(model.to(device).eval(), cfg)


def build_model(cfg: Config) -> torch.nn.Module:
    """Build the model of a config with initialised weights; no pretrained file is looked for.

    Raises:
        ConfigError: `in_channels` behind the backbone are not the backbone's.
    """
    from ..config.reading import remove_pretrained

    check_channels(cfg)
    scope = cfg.get('default_scope') or 'mmengine'
    init_default_scope(scope)
    model_cfg = cfg.model.copy()
    remove_pretrained(model_cfg)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(model_cfg)
        with quiet_log():
            model.init_weights()
    return model


class Predictor:
    """A model with its preprocessing.

    Args:
        model: A detector, segmentor or hand regressor, in eval mode.
        cfg: Its config, of which the test pipeline, classes and task are used.
    """

    def __init__(self, model: torch.nn.Module, cfg: Config) -> None:
        self.model = model
        self.cfg = cfg
        self.task = task_of(cfg)
        scope = cfg.get('default_scope')
        dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
        self.classes = dataset_classes(dataset, scope) or ()
        self.palette = (dataset.get('metainfo') or {}).get('palette')
        steps = [step for step in dataset.pipeline if step['type'] not in TRUTH_LOADERS]
        with DefaultScope.overwrite_default_scope(scope):
            self.load = Compose(steps[:1])
            self.transform = Compose(steps[1:])

    def __call__(self, images: ImageInput | Sequence[ImageInput]) -> Result | list[Result]:
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
        return self.to_result(self.model.test_step(batch)[0], rgb)

    def _read(self, image: ImageInput) -> dict:
        """Return the results dict that the test pipeline starts from: the image as BGR."""
        if isinstance(image, str | os.PathLike):
            path = Path(image)
            if not path.is_file():
                raise ImageError(f'{path}: no such file')
            try:
                results = self.load({'img_path': str(path), 'img_id': 0})
            except Exception as error:
                raise ImageError(f'{path}: cannot be decoded as an image: {error}') from error
            if results is None or results.get('img') is None:
                raise ImageError(f'{path}: cannot be decoded as an image')
            return results
        array = np.asarray(image.convert('RGB') if isinstance(image, Image.Image) else image)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
            raise ImageError(
                f'expected an (H, W, 3) uint8 array, found shape {array.shape} of {array.dtype}'
            )
        shape = array.shape[:2]
        bgr = np.ascontiguousarray(array[..., ::-1])
        return {'img': bgr, 'img_path': '', 'img_id': 0, 'img_shape': shape, 'ori_shape': shape}

    def to_result(self, sample: object, image: np.ndarray) -> Result:
        """Turn a data sample of the model into a result; `image` is (H, W, 3) uint8, RGB."""
        return RESULTS[self.task](self, sample, image)

    def _instances(self, sample: object, image: np.ndarray) -> InstanceResult:
        predicted = sample.pred_instances.cpu()
        order = predicted.scores.argsort(descending=True, stable=True)
        rles = None
        if 'masks' in predicted:
            from ..evaluation.masks import encode_masks

            masks = predicted.masks
            codes = masks if isinstance(masks, list) else encode_masks(masks)
            rles = [codes[i] for i in order.tolist()]
        return InstanceResult(
            boxes=predicted.bboxes[order].float().numpy(),
            scores=predicted.scores[order].float().numpy(),
            labels=predicted.labels[order].numpy(),
            rles=rles,
            classes=self.classes,
            image=image,
        )

    def _labels(self, sample: object, image: np.ndarray) -> SemanticResult:
        labels = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
        return SemanticResult(labels.astype(np.int64), self.classes, self.palette, image)

    def _hand(self, sample: object, image: np.ndarray) -> HandResult:
        hand = sample.pred_hand.cpu()
        arrays = {
            name: getattr(hand, name).numpy()
            for name in ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas')
        }
        mano = self.model.mano
        # K of the network's input and the way there from the picture give K of the picture
        to_input = sample.metainfo.get('image_transform', np.eye(3))
        roll = sample.metainfo.get('camera_roll', np.eye(3))
        K = np.linalg.inv(to_input) @ np.asarray(sample.metainfo['K']) @ roll
        faces = mano.faces if sample.metainfo.get('is_right', True) else mano.faces.flip(1)
        return HandResult(
            **arrays,
            faces=faces.cpu().numpy(),
            K=K.astype(np.float32),
            hand_model=mano.name,
            image=image,
        )


RESULTS = {
    'instance': Predictor._instances,
    'semantic': Predictor._labels,
    'hand': Predictor._hand,
}
