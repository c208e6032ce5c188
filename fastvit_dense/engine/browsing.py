"""A page of training samples as training sees them: drawn after augmentation, truth included."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from ..checkpoints.files import write_files
from ..config.building import explained_building
from ..config.checks import check_settings
from ..config.loaders import datasets_of
from ..config.walk import dicts_of
from ..datasets.bit_depth import set_image_bits, stated_bits
from ..datasets.check.datasets import quick_check
from ..datasets.check.findings import DatasetReport
from ..datasets.formats.recognising import read_folder
from ..datasets.loading import mask_classes, replace_loading
from ..datasets.own_data import ABOUT
from ..errors import ConfigError, DataError, FastViTDenseError, reason_of
from ..evaluation.report.html import render
from ..evaluation.report.pictures import data_uri
from ..tasks import TASKS, Task, task_of
from ..tasks.config import load_config
from .multi_scale import check_sampled_sizes
from .seeding import SeededIndex, seed_all

SHOWN = 560  # pixels of the longer side of a picture on the page
READING = ('Load', 'Pack')  # how transforms begin that change nothing
LONGEST = 160  # letters of a transform's settings
ABSENT = 40  # classes without an object that are named


def browse(
    source: str,
    out: str | Path,
    *,
    sample: bool = False,
    data: str | Path | None = None,
    cfg_options: Iterable[str] = (),
    count: int = 24,
    seed: int | None = None,
) -> Path:
    """Write a page of training samples: each as it is, and twice as the training sees it.

    Args:
        source: Config, or a folder of annotated pictures; that is shown as a config that is for it
            (`Task.config_for`) would train on it.
        out: The page, one file with its pictures inside.
        sample: Use the embedded sample data.
        data: A folder of annotated pictures to use instead of the config's data.
        cfg_options: `key=value` strings.
        count: Number of samples: the first that training would take, of another picture each.
        seed: Of the samples and their augmentation; by default the config's.

    Returns:
        The page.

    Raises:
        ConfigError, DataError: With what is wrong and where. A picture that cannot be read stands
            on the page with the reason; it is an error where there is no other.
    """
    out = Path(out)
    if out.suffix.lower() not in ('.html', '.htm'):
        raise ConfigError(f'--out {out}: expected a name that ends in .html')
    with tempfile.TemporaryDirectory(prefix='browse-') as folder:
        if Path(source).is_dir():
            if data is not None:
                raise ConfigError(f'{source} and --data {data} are both folders: give one of them')
            source, data = _config_for(source), source
        cfg = load_config(
            source,
            sample=sample,
            data=data,
            cfg_options=cfg_options,
            pretrained=False,
            work_dir=folder,
        )
        about = next((path.read_text() for path in Path(folder).glob(f'*/{ABOUT}')), '')
        content = _content(cfg, count, seed)
    page = render('browse.html.jinja', config=source, about=about.strip(), **content)
    write_files(out.parent, {out.name: page})
    print(f'{len(content["rows"])} samples in {out}')
    return out


def _config_for(folder: str) -> str:
    found = read_folder(folder)
    name = next(filter(None, (task.config_for(found) for task in TASKS.values())), None)
    if name is None:
        raise DataError(f'{folder}: expected objects or class masks, found neither ({found.kind})')
    return name


def _content(cfg: Config, count: int, seed: int | None) -> dict[str, Any]:
    """Gather the content of the page, in the words of its template."""
    if not count > 0:
        raise ConfigError(f'--count {count}: expected a number above 0')
    task, steps = task_of(cfg), pipeline_steps(cfg)
    check_settings(cfg, ('train_dataloader',))
    check_sampled_sizes(cfg)
    report = quick_check(cfg, 'train_dataloader').of('train')
    set_image_bits(cfg)
    if seed is None:
        seed = (cfg.get('randomness') or {}).get('seed') or 0
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'):
        samples = TrainingSamples(cfg, seed)
        rows, counts = _rows(samples, task, count)
    if all(row['problem'] for row in rows):
        raise DataError(rows[0]['problem'])
    for row in rows:
        if row['problem']:
            print(f'left out: {row["problem"]}')
    return {
        'task': task.presentation.title,
        'title': Path(cfg.filename or 'config').stem,
        'data': f'{report.source or cfg.get("dataset_name", "")}'.rstrip('/'),
        'images': f'{report.images_used} of {report.images}' if report.images else 'all',
        'seed': seed,
        'rows': rows,
        'steps': steps,
        'counted': task.counted,
        'legend': _legend(task, samples, counts, report),
        'absent': _absent(task, samples, counts),
    }


# ----------------------------------------------------------------------------- samples


class Look(NamedTuple):
    """A picture that was drawn with its truth.

    Attributes:
        picture: The drawing.
        counts: How often each name of the legend occurs.
        size: Width and height of what was drawn on.
        path: File that it came from.
    """

    picture: Image.Image
    counts: Counter[str]
    size: tuple[int, int]
    path: str


class TrainingSamples:
    """The samples of a training, in the order in which it takes them.

    Args:
        cfg: The config.
        seed: Of the run.

    Attributes:
        dataset: The dataset of the training.
        classes: Names of its classes.
        palette: RGB per class, or None.
    """

    def __init__(self, cfg: Config, seed: int) -> None:
        self.cfg, self.seed = cfg, seed
        for dataset in datasets_of(cfg, ['train_dataloader']):
            masks = mask_classes(dataset, cfg.get('default_scope'))
            replace_loading(dataset.get('pipeline'), 0, masks, stated_bits(cfg))
        settings = {**cfg.train_dataloader, 'num_workers': 0, 'persistent_workers': False}
        settings.pop('prefetch_factor', None)
        with explained_building(cfg):
            self.loader = Runner.build_dataloader(settings, seed=seed)
        self.dataset: Any = self.loader.dataset
        self.classes = tuple(self.dataset.metainfo.get('classes') or ())
        self.palette = self.dataset.metainfo.get('palette')

    def indices(self) -> Iterator[SeededIndex]:
        """Yield those of one pass, each picture once, with the keys of their random numbers."""
        drawn: Any = iter(self.loader.sampler)
        if self.cfg.train_dataloader.get('batch_sampler'):  # its batches may have sizes
            drawn = (index for batch in self.loader.batch_sampler for index in batch)
        seen = set()
        for index in islice(drawn, len(self.dataset)):
            if int(index) not in seen:
                seen.add(int(index))
                key = getattr(index, 'key', ()) or (self.seed, int(index))
                yield SeededIndex(index, key, getattr(index, 'size', None))

    def look(self, index: SeededIndex, task: Task) -> Look:
        """Draw one sample as the pipeline gives it.

        Raises:
            DataError: A file of it cannot be used.
            ConfigError: The pipeline fails, or gives no picture.
        """
        seed_all(*index.key)
        try:
            found = self.dataset[index]
            image = _image_of(found['inputs'])
            sample = found['data_samples']
            drawn, counts = task.draw_input(image, sample, self.classes, self.palette)
        except FastViTDenseError:
            raise
        except Exception as error:  # of transforms, which may be anyone's
            raise ConfigError(
                f'{self.cfg.filename}: train_dataloader: sample {int(index)}: '
                f'{type(error).__name__}: {reason_of(error)}'
            ) from error
        path = str(sample.metainfo.get('img_path', f'sample {int(index)}'))
        return Look(drawn, counts, image.shape[1::-1], path)

    @contextmanager
    def as_they_are(self) -> Iterator[None]:
        """In the block samples are read and packed only: no transform changes them."""
        changed = [(part, part.pipeline) for part in _parts(self.dataset)]
        for part, pipeline in changed:
            part.pipeline = _reading_only(pipeline)
        try:
            yield
        finally:
            for part, pipeline in changed:
                part.pipeline = pipeline


def _parts(dataset: Any) -> Iterator[Any]:
    """Yield a dataset and those that it is made of, as far as they have a pipeline."""
    if getattr(dataset, 'pipeline', None) is not None:
        yield dataset
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for part in inner:
        if part is not None:
            yield from _parts(part)


def _reading_only(pipeline: Any) -> Any:
    steps = pipeline.transforms if isinstance(pipeline, Compose) else pipeline
    kept = [step for step in steps if type(step).__name__.startswith(READING)]
    return Compose(kept) if isinstance(pipeline, Compose) else kept


def _image_of(inputs: Any) -> np.ndarray:
    """(H, W, 3) uint8, RGB, of the BGR tensor (3, H, W) that pipelines pack.

    Raises:
        ConfigError: It is something else.
    """
    shape = tuple(getattr(inputs, 'shape', ()))
    if len(shape) != 3 or shape[0] != 3:
        raise ConfigError(
            'train_dataloader: expected a pipeline that packs one picture (3, height, width), '
            f'found {type(inputs).__name__} {shape or ""}'.rstrip()
        )
    array = inputs.numpy().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(array[::-1].transpose(1, 2, 0))


# -------------------------------------------------------------------------------- page


def _rows(
    samples: TrainingSamples, task: Task, count: int
) -> tuple[list[dict[str, Any]], list[Counter[str]]]:
    """Rows of the page, and what occurs in their three columns."""
    rows: list[dict[str, Any]] = []
    counts: list[Counter[str]] = [Counter(), Counter(), Counter()]
    for index in islice(samples.indices(), count):
        again = SeededIndex(index, (*index.key, 1), index.size)
        row: dict[str, Any] = {'title': '', 'figures': [], 'problem': ''}
        rows.append(row)
        try:
            with samples.as_they_are():
                looks = [samples.look(index, task)]
            looks += [samples.look(one, task) for one in (index, again)]
        except DataError as error:
            row['problem'] = str(error)
            continue
        row['title'] = Path(looks[0].path).name
        names = ('as it is', 'in training', 'in training again')
        for name, look, counter in zip(names, looks, counts, strict=True):
            counter.update(look.counts)
            other = '' if look.path == looks[0].path else f'{Path(look.path).name} in its place'
            row['figures'].append(_figure(look, name, other))
    return rows, counts


def _figure(look: Look, name: str, other: str) -> dict[str, Any]:
    picture = look.picture.convert('RGB')
    picture.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    uri, width, height = data_uri(picture)
    size = f'{look.size[0]} × {look.size[1]}'
    return dict(uri=uri, width=width, height=height, name=name, size=size, other=other)


def _legend(
    task: Task, samples: TrainingSamples, counts: Sequence[Counter[str]], report: DatasetReport
) -> list[dict[str, Any]]:
    """Rows of name, colour and counts of what occurs; the last count is of all training data."""
    colors = task.legend(samples.classes, samples.palette)
    totals = [max(counter.total(), 1) for counter in counts]
    names = [*colors, *dict.fromkeys(n for counter in counts for n in counter if n not in colors)]
    rows = []
    for name in names:
        if any(counter[name] for counter in counts):
            found = [
                f'{counter[name] / total:.1%}' if task.counted == 'pixels' else f'{counter[name]}'
                for counter, total in zip(counts, totals, strict=True)
            ]
            color = '#{:02x}{:02x}{:02x}'.format(*colors[name]) if name in colors else ''
            rows.append(
                dict(name=name, color=color, counts=found, all=report.per_class.get(name, ''))
            )
    return rows


def _absent(task: Task, samples: TrainingSamples, counts: Sequence[Counter[str]]) -> str:
    names = task.legend(samples.classes, samples.palette)
    absent = [name for name in names if not any(counter[name] for counter in counts)]
    more = f', ... and {len(absent) - ABSENT} more' if len(absent) > ABSENT else ''
    return ', '.join(absent[:ABSENT]) + more


def pipeline_steps(cfg: Config) -> list[dict[str, Any]]:
    """The transforms of the training pipelines, in order: name and settings of each.

    Returns:
        One dict a pipeline, those within others first: `name` of what it belongs to, `steps`.
        The model's preprocessor, which works on whole batches, is the last.
    """
    found = []
    for _, node in dicts_of(cfg.train_dataloader.get('dataset')):
        if node.get('pipeline'):
            steps = [_step(step) for step in node['pipeline']]
            found.append({'name': _name(node), 'steps': steps})
    unique = {repr(one['steps']): one for one in reversed(found)}
    pipelines = list(unique.values())
    if preprocessor := cfg.model.get('data_preprocessor'):
        pipelines.append({'name': 'whole batches', 'steps': [_step(preprocessor)]})
    return pipelines


def _step(step: dict) -> tuple[str, str]:
    settings = ', '.join(f'{k}={v!r}' for k, v in step.items() if k not in ('type', '_scope_'))
    return _name(step), settings[:LONGEST] + (' ...' if len(settings) > LONGEST else '')


def _name(node: dict) -> str:
    kind = node.get('type', '')
    return kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))
