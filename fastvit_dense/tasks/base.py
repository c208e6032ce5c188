"""A task: what differs between instance segmentation, semantic segmentation, hands and others.

Everything else in the package asks the `Task` of a config and never which task it is. A task of
one's own is a subclass whose object is registered; see docs/extending.md.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.config import Config, ConfigDict
from PIL import Image
from torch import nn

from ..config.loaders import LOADERS, datasets_of
from ..config.types import base_names, find_type
from ..datasets.formats.records import Found
from ..errors import ConfigError, DataError, ExportError, PredictionError
from ..evaluation.metric_names import METRICS, MetricInfo
from ..evaluation.report.presentation import Presentation
from ..evaluation.report.references import Published
from ..graphs.agreement import Line, Pair
from ..graphs.common import Normalize
from ..results.base import Result

# title and picture: a prediction beside the truth
Pictures = Iterator[tuple[str, Image.Image]]


class Task:
    """Everything that the package needs of a task; attributes without a value must be given.

    Attributes:
        name: One word, as reports and exported files name it.
        dataset_base: Name of a class that the task's datasets derive from. The nearest base of a
            dataset's class decides.
        presentation: How reports show its results.
        metrics: Label, unit and direction of its metrics by name, where they are not known yet.
        own_metrics: Types of other libraries' metrics, and the types of this package's that take
            their arguments and give their numbers.
        official_datasets: Types of datasets whose data has a name of its own, and that name.
        published: Published results to put beside; None: there are none.
        macs_size: Height and width on which multiply-accumulates are counted.
        square_images: Whether the models see square images only.
        has_mano: Whether the models hold a hand, whose arrays may be a licence-bound file's.
        encoded_arrays: Names of what `Result.encoded_arrays` gives of its results.
        unsupported_formats: Export formats that cannot hold its models, and why.
        demo_config: Name of the config that the demo trains; None: it is left out.
        demo_options: `key=value` of the demo's test, which measures more than a config asks for.
        counted: What `draw_input` counts; of 'pixels' pages show the share.
    """

    name: str
    dataset_base: str
    presentation: Presentation
    metrics: ClassVar[Mapping[str, MetricInfo]] = {}
    own_metrics: ClassVar[Mapping[str, str]] = {}
    official_datasets: ClassVar[Mapping[str, str]] = {}
    published: Published | None = None
    macs_size: tuple[int, int] = (512, 512)
    square_images = False
    has_mano = False
    encoded_arrays: ClassVar[tuple[str, ...]] = ()
    unsupported_formats: ClassVar[Mapping[str, str]] = {}
    demo_config: str | None = None
    demo_options: Sequence[str] = ()
    counted = 'objects'

    # ------------------------------------------------------------------------ prediction

    def result(
        self,
        sample: Any,
        image: np.ndarray,
        model: Any,
        classes: tuple[str, ...],
        palette: Any,
    ) -> Result:
        """Turn a data sample of the model into a result.

        Args:
            sample: What `model.test_step` gave for the image.
            image: (H, W, 3) uint8, RGB.
            model: The network.
            classes: Class names of the dataset.
            palette: RGB per class, or None.
        """
        raise NotImplementedError

    def predict_tiles(
        self, predictor: Any, image: np.ndarray, rows: list[list[Any]], batch_size: int
    ) -> Result:
        """Predict a picture in tiles, and put the parts together.

        Args:
            predictor: `~fastvit_dense.inference.predictor.Predictor`, called with the tiles.
            image: (H, W, 3) uint8, RGB.
            rows: Tiles row by row: left, top, right, bottom.
            batch_size: Tiles at a time.

        Raises:
            ConfigError: There is no way to put them together.
        """
        raise ConfigError(f'--tiles: there is no way to join tiles for the task {self.name!r}')

    def fill_sample(self, sample: Any, result: Any) -> Any:
        """Put a result into a data sample, where metrics look for it; return the sample."""
        raise ConfigError(f'--tiles: results of the task {self.name!r} cannot be scored')

    def smoother(self) -> Callable[[Any, float], Any]:
        """Return what smooths the results of a video: called with each and its time in seconds.

        Raises:
            ConfigError: There is none.
        """
        raise ConfigError(f'--smooth: for hands; there is none for the task {self.name!r}')

    def annotate(self, result: Any, base: Path, dataset: ConfigDict) -> None:
        """Write a result as the annotation of its picture, where each picture has a file for it.

        Args:
            result: Of one picture.
            base: The file without its suffix.
            dataset: Of the config: how its annotations are to be read.

        Raises:
            PredictionError: There is no format for annotations of this task.
        """
        raise PredictionError(f'--as-annotations: there is no format for the task {self.name!r}')

    def collect_annotations(
        self,
        records: Any,
        path: Path,
        classes: Sequence[str],
        ids: Sequence[int],
        threshold: float | None,
        dataset: ConfigDict,
    ) -> str:
        """Write the one annotation file of all pictures, where the format has one.

        Args:
            records: Data of the results, gone through as often as needed.
            path: The file.
            classes: Names by label.
            ids: Ids by label.
            threshold: What scores less is left out; None: what pictures leave out.
            dataset: Of the config: how its annotations are to be read.

        Returns:
            What to tell of it; '' where there is no such file.
        """
        return ''

    # ------------------------------------------------------------------------ evaluation

    def draw(
        self, cfg: Config, dataset: ConfigDict, ids: Iterable[Any], predictions: Path
    ) -> Pictures:
        """Yield title and picture of samples of the test dataset, for the gallery of a report.

        Args:
            cfg: The config that was scored.
            dataset: Its test dataset.
            ids: The `id` of each sample, as the metric gave it in `per_sample`; which comes next
                may depend on the picture before.
            predictions: Saved predictions: the file, or the folder that a metric wrote.

        Raises:
            FileNotFoundError, DataError: There is nothing to draw; a report says so.
        """
        raise DataError(f'the task {self.name!r} draws no pictures')

    def published_for(self, cfg: Config) -> Published | None:
        """Return the published results that stand beside those of a config."""
        return self.published

    def protocol(self, cfg: Config) -> dict[str, Any]:
        """Tell what a report must say of how the predictions were made or scored."""
        return {}

    # -------------------------------------------------------------------------- training

    def draw_input(
        self, image: np.ndarray, sample: Any, classes: Sequence[str], palette: Any
    ) -> tuple[Image.Image, Counter[str]]:
        """Draw an input of the training with its truth.

        Args:
            image: (H, W, 3) uint8, RGB, as the training pipeline gave it.
            sample: Its data sample.
            classes: Class names of the dataset.
            palette: RGB per class, or None.

        Returns:
            The picture, and how often each name of `legend` occurs in it.
        """
        raise ConfigError(f'browse: the task {self.name!r} does not draw what it trains on')

    def legend(self, classes: Sequence[str], palette: Any) -> dict[str, tuple[int, int, int]]:
        """Return name and RGB of what `draw_input` draws."""
        return {}

    def config_for(self, found: Found) -> str | None:
        """Name the shipped config that is for a folder of pictures; None: there is none."""
        return None

    # ----------------------------------------------------------------------- sample data

    def make_sample_data(self, root: str | Path, force: bool = False) -> None:
        """Write the embedded sample data of the task, where it is not up to date or forced."""
        raise ConfigError(f'--sample: the task {self.name!r} has no sample data')

    def use_sample_data(self, cfg: Config) -> None:
        """Point a config at the embedded sample data and shorten its schedule, in place."""
        raise ConfigError(f'--sample: the task {self.name!r} has no sample data')

    # -------------------------------------------------------------------------- own data

    def use_data(
        self, cfg: Config, found: Found, folder: Path, classes: Sequence[str] | None = None
    ) -> None:
        """Point a config at a folder of the user's own pictures, in place.

        Args:
            cfg: The config.
            found: What the folder holds, with splits.
            folder: Where files that are made for it go.
            classes: Of a model that is to be tested; by default those of the folder.

        Raises:
            ConfigError, DataError: The task cannot use such a folder.
        """
        raise ConfigError(f'--data: the task {self.name!r} reads no folders of this kind')

    # ---------------------------------------------------------------------------- export

    def input_size(self, cfg: Config) -> tuple[int, int]:
        """Height and width that the test pipeline of a config leads to."""
        scale = test_scale(cfg)
        return tuple(cfg.model.data_preprocessor.get('size') or (min(scale), min(scale)))

    def graph(self, normalize: Normalize, model: Any, with_mano: bool = False) -> nn.Module:
        """Wrap a folded model as a graph: one RGB image in, tensors named `output_names` out.

        Args:
            normalize: To be put in front.
            model: In eval mode; it may be changed.
            with_mano: Whether the arrays of a MANO file may be inside.

        Raises:
            ExportError: The model cannot be exported.
        """
        raise ExportError(
            f'models of the task {self.name!r} cannot be exported whole; --part backbone exports '
            'their backbone'
        )

    def expected_outputs(self, model: Any, image: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name that a graph should give for a picture (H, W, 3) uint8, RGB."""
        raise ExportError(f'the task {self.name!r} has no outputs of its own to compare')

    def post_processing(self, network: Any, model: ConfigDict) -> nn.Module:
        """Give what turns an exported network's outputs into predictions.

        Args:
            network: Called with (1, 3, H, W) float32, RGB, 0-255; gives arrays by name.
                `network.each` does so for a list, in batches where the file takes them.
            model: The config's `model`.

        Returns:
            A module of (images, data samples), called with a list of tensors (1, 3, H, W), RGB,
            which returns the data samples with predictions as the PyTorch model does.
        """
        raise ExportError(f'exported models of the task {self.name!r} cannot be run')

    def data_sample(self) -> type:
        """Return the type of the data samples that its models fill in."""
        from mmengine.structures import BaseDataElement

        return BaseDataElement

    def compare(self, pairs: Sequence[Pair]) -> Iterator[Line]:
        """Compare predictions of the PyTorch model with those of an exported file."""
        raise ExportError(f'predictions of the task {self.name!r} cannot be compared')

    def recheck(self, model: Any, lines: Sequence[Line]) -> nn.Module | None:
        """Return a copy of the model that predicts more, where the lines compare too little."""
        return None


TASKS: dict[str, Task] = {}


def register_task(task: Task) -> Task:
    """Make a task known, by its name and the base class of its datasets.

    Raises:
        ConfigError: It is no task, another one has the name, or an attribute is missing.
    """
    if not isinstance(task, Task):
        raise ConfigError(f'register_task: expected an object of a Task, found {task!r}')
    for attribute in ('name', 'dataset_base', 'presentation'):
        if not hasattr(task, attribute):
            raise ConfigError(f'task {type(task).__name__}: expected an attribute {attribute!r}')
    known = TASKS.setdefault(task.name, task)
    if type(known).__qualname__ != type(task).__qualname__:
        raise ConfigError(f'task {task.name!r} is registered already, by {type(known).__name__}')
    METRICS.update(task.metrics)
    return known


def find_task(name: str) -> Task:
    """Return the task of a name.

    Raises:
        ConfigError: There is none.
    """
    if name not in TASKS:
        raise ConfigError(f'task: expected one of {", ".join(TASKS)}, found {name!r}')
    return TASKS[name]


def task_of(cfg: Config) -> Task:
    """Return the task of a config, by the base classes of its dataset.

    Raises:
        ConfigError: No registered task has such a dataset.
    """
    dataset = next(
        datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')), None
    )
    if dataset is None:
        raise ConfigError(f'{cfg.filename}: no dataset in any of {", ".join(LOADERS)}')
    cls = find_type(dataset.get('type'), dataset.get('_scope_', cfg.get('default_scope')))
    if cls is None:
        raise ConfigError(f'{cfg.filename}: no dataset type {dataset.get("type")!r} is registered')
    by_base = {task.dataset_base: task for task in TASKS.values()}
    for base in base_names(cls):
        if base in by_base:
            return by_base[base]
    raise ConfigError(
        f'{cfg.filename}: dataset {dataset["type"]}: expected a subclass of one of '
        f'{", ".join(by_base)}'
    )


def test_scale(cfg: Config) -> tuple[int, int]:
    """Return the `scale` of the first Resize of the test pipeline; 512 x 512 without one."""
    dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
    for step in dataset.pipeline:
        if step['type'] == 'Resize' and isinstance(step.get('scale'), list | tuple):
            width, height = step['scale']
            return width, height
    return 512, 512
