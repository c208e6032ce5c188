"""From a config and a checkpoint to a model that is called with pictures."""

import copy
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from ..backbones.reparam import reparameterize
from ..checkpoints.model import load_model_state
from ..checkpoints.published import LICENCES, PUBLISHED, published_name
from ..config.building import explained_building, quiet_log
from ..config.channels import check_channels
from ..config.checks import check_test_cfg
from ..config.loaders import dataset_classes, datasets_of
from ..config.reading import remove_pretrained
from ..config.stored import is_exported, use_stored_bits
from ..datasets.formats.categories import category_ids
from ..errors import ConfigError, ExportError, ImageError, reason_of
from ..results.base import Result
from ..tasks import task_of
from ..tasks.config import load_config, published_weights, stands_alone
from .batches import groups_of_one_shape, read_ahead
from .exported import exported_model_cfg
from .reading import ImageInput, PictureReader
from .sources import list_images
from .strips import labels_in_strips

Item = TypeVar('Item')
BATCH_SIZE = 8


def load_model(
    model: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> 'Predictor':
    """Build a model and load its weights, ready to be called with pictures.

    Args:
        model: Config file, the name of a shipped config ('maskrcnn_fastvit_sa24', from any
            folder), that of its published weights ('apple/deeplabv3-mobilevit-small'), or a config
            read by `load_config`. Or a file that stands alone: a checkpoint
            that training wrote, which carries its config and classes, or an exported file.
        checkpoint: Weights, loaded strictly: a file, address or published name. None takes the
            published ones of a shipped config that is named, where there are any
            (`checkpoints.published.OF_CONFIG`), and says what they may be used for; else it leaves
            them random, with a warning. Or a file of `tools/export.py` (.onnx, .xml), which runs
            in their place on the CPU.
        device: Where to run; by default the first GPU, or the CPU.

    Returns:
        `predictor(image)` gives a result, `predictor([image, ...])` a list of them, run in batches.
        An image is a path, an http(s) address, the bytes of a picture file, a PIL image or an
        (H, W, 3) uint8 array, RGB.

    Raises:
        ConfigError, CheckpointError, CheckpointMismatch, ExportError: With the file, or the device,
            and what is wrong.
    """
    if isinstance(model, Config):
        cfg = copy.copy(model)
    else:
        cfg = load_config(model, pretrained=False)
        if checkpoint is None:
            checkpoint = model if stands_alone(model) else published_weights(model)
    place = _device(device, checkpoint is not None and is_exported(checkpoint))
    if checkpoint is not None and is_exported(checkpoint):
        if place.type != 'cpu':
            warnings.warn(f'{checkpoint}: runs on the CPU, not on {place}', stacklevel=2)
        exported = MODELS.build(exported_model_cfg(cfg, checkpoint)).eval()
        use_stored_bits(cfg, exported.network.description.prediction, checkpoint)
        return Predictor(exported, cfg)
    with explained_building(cfg):
        network = build_model(cfg)
        meta: dict = {}
        if checkpoint is None:
            name = cfg.filename or 'model'
            warnings.warn(f'{name}: no checkpoint, random weights', stacklevel=2)
        else:
            meta = load_model_state(network, os.fspath(checkpoint))
            use_stored_bits(cfg, meta.get('cfg'), checkpoint)
        predictor = Predictor(network.to(place).eval(), cfg, meta.get('category_ids'))
    name = published_name(str(checkpoint))
    if name in PUBLISHED:
        licence = PUBLISHED[name].licence
        told = LICENCES[licence] if licence else 'not known here'
        predictor.weights = {'file': name, 'licence': told}
    return predictor


def _device(device: str | torch.device | None, exported: bool) -> torch.device:
    """The device of a name; None: the CPU for an exported file, else the first GPU if there is one.

    Raises:
        ConfigError: There is no such device here.
    """
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() and not exported else 'cpu')
    try:
        place = torch.device(device)
        if not exported:
            torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = reason_of(error).splitlines()[0]
        raise ConfigError(f'device {str(device)!r}: not to be had here: {reason:.200}') from error
    return place


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
    model_cfg = copy.deepcopy(cfg.model)  # the caller's keeps its weights to start from
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
        ids: Ids that the annotations gave to the classes, where they are known.

    Attributes:
        model: The network.
        classes: Names by label.
        category_ids: Ids in annotation files by label.
        dataset: The dataset of the config that says how pictures are read.
        weights: Of published weights the name and the licence, which stand in each result, too.
    """

    weights: dict[str, str] | None = None

    def __init__(
        self, model: torch.nn.Module, cfg: Config, ids: Sequence[int] | None = None
    ) -> None:
        self.model: Any = model
        self.cfg = cfg
        self.task = task_of(cfg)
        dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
        metainfo = dataset.get('metainfo') or {}
        self.classes = dataset_classes(dataset, cfg.get('default_scope')) or ()
        self.category_ids = category_ids(self.classes, ids or metainfo.get('category_ids'))
        self.palette = metainfo.get('palette')
        self.dataset, self.pipeline = dataset, dataset.pipeline
        self.reader = PictureReader(cfg, dataset)

    @overload
    def __call__(self, images: ImageInput, batch_size: int = BATCH_SIZE) -> Result: ...

    @overload
    def __call__(
        self, images: list[ImageInput] | tuple[ImageInput, ...], batch_size: int = BATCH_SIZE
    ) -> list[Result]: ...

    def __call__(
        self,
        images: ImageInput | list[ImageInput] | tuple[ImageInput, ...],
        batch_size: int = BATCH_SIZE,
    ) -> Result | list[Result]:
        """Predict one picture, or those of a list, `batch_size` at a time.

        Raises:
            ImageError: A picture cannot be read.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images, batch_size))
        return self.predict(images)

    def predict(self, image: ImageInput) -> Result:
        """Predict one picture.

        Raises:
            ImageError: The picture cannot be read.
        """
        (result,) = self._run([self.reader(image)])
        return result

    def stream(
        self, source: str | os.PathLike | Iterable[ImageInput], batch_size: int = BATCH_SIZE
    ) -> Iterator[Result]:
        """Yield the results of pictures in their order, in memory that does not grow.

        Args:
            source: A folder, a pattern such as `photos/*.jpg`, a text file with one picture a
                line, or anything that yields pictures, which are taken as they are needed.
            batch_size: Pictures that are read and run together; of two sizes of the network's
                input each is a batch of its own.

        Raises:
            ImageError: A picture cannot be read; `pairs` goes on after it.
        """
        named = isinstance(source, str | os.PathLike)
        for _, result in self.pairs(list_images(source) if named else source, batch_size):  # type: ignore[arg-type]
            if isinstance(result, ImageError):
                raise result
            yield result

    def samples(self, images: Sequence[ImageInput]) -> list[Any]:
        """Data samples of pictures that have one size, as the model gives them: scores included."""
        return self.run_network([self.reader(image)[0] for image in images])

    def pairs(
        self,
        items: Iterable[Item],
        batch_size: int = BATCH_SIZE,
        image_of: Callable[[Item], Any] = lambda item: item,
    ) -> Iterator[tuple[Item, Result | ImageError]]:
        """Yield each item with the result of its picture, or with what is wrong with it.

        Args:
            items: Pictures, or what `image_of` takes them from.
            batch_size: As for `stream`.
            image_of: Gives the picture of an item.
        """

        def read(item: Item) -> tuple[dict, np.ndarray] | ImageError:
            try:
                return self.reader(image_of(item))
            except ImageError as error:
                return error

        for window, found in read_ahead(items, read, max(1, batch_size)):
            results = iter(self._run([one for one in found if not isinstance(one, ImageError)]))
            for item, one in zip(window, found, strict=True):
                yield item, one if isinstance(one, ImageError) else next(results)

    def to(self, device: str | torch.device) -> 'Predictor':
        """Move the network to a device; return this predictor.

        Raises:
            ExportError: The network is an exported file, which runs on the CPU.
        """
        network = getattr(self.model, 'network', None)
        if network is not None and torch.device(device).type != 'cpu':
            raise ExportError(f'{network.path}: an exported file runs on the CPU here')
        self.model.to(device)
        return self

    def fuse(self) -> 'Predictor':
        """Reparameterize the network, in place; return this predictor."""
        reparameterize(self.model)
        return self

    @torch.inference_mode()
    def run_network(self, inputs: list[dict]) -> list[Any]:
        """Run inputs of the pipeline that have one shape, as one batch; data samples."""
        return self.model.test_step(pseudo_collate(inputs))

    def _run(self, pictures: list[tuple[dict, np.ndarray]]) -> list[Result]:
        results: dict[int, Result] = {}
        for group in groups_of_one_shape([data['inputs'].shape for data, _ in pictures]):
            with labels_in_strips(self.model):
                samples = self.run_network([pictures[place][0] for place in group])
            for place, sample in zip(group, samples, strict=True):
                results[place] = self.to_result(sample, pictures[place][1])
        return [results[place] for place in range(len(pictures))]

    def to_result(self, sample: object, image: np.ndarray) -> Result:
        """Turn a data sample of the model into a result; `image` is (H, W, 3) uint8, RGB."""
        result = self.task.result(sample, image, self.model, self.classes, self.palette)
        result.weights = self.weights
        result.category_ids = self.category_ids
        return result
