"""The base of all tasks' metrics: collect compact samples, gather, score, keep."""

import pickle
from abc import abstractmethod
from collections.abc import Sequence
from itertools import zip_longest
from logging import WARNING
from pathlib import Path
from typing import Any

from mmengine.dist import (
    broadcast_object_list,
    collect_results,
    get_world_size,
    is_main_process,
)
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from ..errors import PredictionError
from .record import EvaluationResult


class TaskMetric(BaseMetric):
    """Base of the project's metrics.

    A subclass says what it keeps of a sample (`compact`) and how it scores all of them
    (`score`). Scoring sees the same list on one process and on many, whatever the batch
    size: the samples of all processes, each once, in the order of their ids.

    Args:
        collect_device: `'cpu'` or `'gpu'`: how processes exchange their samples.
        prefix: Put before every metric name as `'prefix/name'`; the names stand alone by default.
        collect_dir: Folder that processes share, for `collect_device='cpu'`.

    Attributes:
        result: The `EvaluationResult` of the last `evaluate()`; None before it, in
            format-only mode, and on every process but the first.
        size: Number of samples that were loaded, of the last `evaluate()`.
        diagnose: Whether to tell the kinds of errors, too. A test and the scoring of saved
            predictions do; the evaluations of a training do without, for the time.
    """

    default_prefix = ''
    format_only = False
    diagnose = False
    results: list[dict]

    def __init__(
        self,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.result: EvaluationResult | None = None
        self.predictions_dir: Path | None = None
        self.size = 0

    @abstractmethod
    def compact(self, sample: dict) -> dict:
        """Keep what scoring needs of a data sample: small, on the CPU, with `'id'` (or None)."""

    @abstractmethod
    def score(self, samples: list[dict]) -> EvaluationResult:
        """Score the compact samples of all processes."""

    def write_predictions(self, samples: list[dict]) -> None:
        """Write to `predictions_dir` what `compact` has not written yet."""

    def read_predictions(self, path: Path, dataset: Any = None) -> list[dict]:
        """Compact samples from saved predictions.

        Args:
            path: The file, or the folder that holds it.
            dataset: The test dataset or its config.
        """
        raise PredictionError(f'{path}: {type(self).__name__} does not read saved predictions')

    def save_predictions(self, directory: str | Path) -> None:
        """From now on also write the predictions to a folder, in the task's official format."""
        self.predictions_dir = Path(directory)
        if is_main_process():
            self.predictions_dir.mkdir(parents=True, exist_ok=True)

    def process(self, data_batch: Any, data_samples: Sequence[dict | BaseDataElement]) -> None:
        """Keep what scoring needs of a batch of data samples, dicts or data elements."""
        self.results.extend(self.compact(as_dict(sample)) for sample in data_samples)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score samples, keep the result and return its metrics."""
        if self.predictions_dir is not None:
            self.write_predictions(results)
        if self.format_only:
            self.result = None
            return {}
        self.result = self.score(results)
        return dict(self.result.metrics)

    def evaluate(self, size: int) -> dict[str, float]:
        """Score everything collected so far and forget it.

        Args:
            size: Number of samples of the dataset; what a distributed sampler added to that
                is dropped.

        Returns:
            Unrounded floats by metric name, the same on every process.

        Raises:
            PredictionError: The predictions cannot be scored. Raised on every process.
        """
        self.size = size
        world_size = get_world_size()
        parts = [self.results]
        if world_size > 1:
            options = {'tmpdir': self.collect_dir} if self.collect_device == 'cpu' else {}
            parts = collect_results([self.results], world_size, self.collect_device, **options)
        self.results = []

        metrics: dict[str, float] = {}
        error: Exception | None = None
        if is_main_process():
            try:
                metrics = self.compute_metrics(each_once(parts, size))
            except Exception as caught:
                error = caught
        if world_size > 1:
            shared: list[Any] = [metrics, _portable(error)]
            broadcast_object_list(shared)
            metrics = shared[0]
            error = error or shared[1]
        if error is not None:
            raise error
        if self.prefix:
            metrics = {f'{self.prefix}/{name}': value for name, value in metrics.items()}
        return metrics

    def new_result(
        self, task: str, samples: int, total: int | None = None, **fields: Any
    ) -> EvaluationResult:
        """An `EvaluationResult` with the dataset's name and split filled in.

        Args:
            task: Name of the task.
            samples: Number of images scored.
            total: Number of images of the ground truth; by default those that were loaded.
            **fields: Other fields of the result.
        """
        meta = self.dataset_meta or {}
        fields['protocol'] = {
            'images_scored': f'{samples} of {self.size if total is None else total}',
            **fields.get('protocol', {}),
        }
        return EvaluationResult(
            task=task,
            dataset=meta.get('dataset_name', ''),
            split=meta.get('split', ''),
            samples=samples,
            **fields,
        )


def as_dict(sample: dict | BaseDataElement) -> dict:
    """A data sample as nested dicts."""
    if isinstance(sample, BaseDataElement):
        sample = sample.to_dict()
    return {
        key: value.to_dict() if isinstance(value, BaseDataElement) else value
        for key, value in sample.items()
    }


def loaded_part(samples: list[dict], indices: int | Sequence[int]) -> list[dict]:
    """The samples that a dataset with `indices` loads, as mmengine's `BaseDataset` takes them."""
    if isinstance(indices, int):
        return samples[:indices] if indices >= 0 else samples[indices:]
    return [samples[index] for index in indices]


def each_once(parts: list[list[dict]], size: int) -> list[dict]:
    """The samples of all processes in the order of their ids, padding dropped.

    Args:
        parts: The samples of each process. Process `r` of `n` holds samples `r, r + n, ...`
            of the dataset, as mmengine's samplers deal them; with ids any other deal works too.
        size: Number of samples of the dataset.
    """
    samples = [s for row in zip_longest(*parts) for s in row if s is not None]
    if len(samples) > size:
        first: dict[object, dict] = {}
        for position, sample in enumerate(samples):
            key = position if sample['id'] is None else (sample['id'],)
            first.setdefault(key, sample)
        samples = list(first.values())[:size]
    elif len(samples) < size:
        print_log(f'{len(samples)} of {size} samples were predicted', 'current', WARNING)
    ids = [sample['id'] for sample in samples]
    if len({type(i) for i in ids}) == 1 and isinstance(ids[0], int | str):
        samples.sort(key=lambda sample: sample['id'])
    return samples


def _portable(error: Exception | None) -> Exception | None:
    """The error in a form that other processes can raise."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f'{type(error).__name__}: {error}')
