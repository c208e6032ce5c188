"""Testing a model under corruptions of its pictures, after the test of the pictures as they are."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from ..checkpoints.files import read_json, write_files
from ..datasets.corruptions import (
    STRENGTHS,
    CorruptedPipeline,
    Setting,
    corrupt,
    corrupted_pipelines,
    library_version,
    load_library,
    seed_of,
)
from ..datasets.loading import read_image
from ..datasets.values import is_number
from ..evaluation.robustness import summarize
from ..limits import REPORT_BYTES

SCORED = 'corruptions.json'  # in the work dir: what is scored, by setting
EXAMPLE_STRENGTH = 3
EXAMPLE_SIDE = 320  # pixels, the longer side of an example
OF_SPEED = ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory')
# of metrics, ours and others': where predictions go, and whether errors are told
OUTPUTS = ('predictions_dir', 'outfile_prefix', 'output_dir', 'diagnose')
SECONDS = 20  # between two lines of progress


def prepare(cfg: Config) -> None:
    """See that the library is there, and have each pass read pictures with processes of its own.

    Raises:
        ConfigError: The library is not there.
    """
    load_library()  # here, so that loading processes inherit it
    cfg.test_dataloader.persistent_workers = False  # these would keep the setting before


class Robustness:
    """Scores under corruptions, of which those in `corruptions.json` are not measured again.

    Args:
        runner: Has tested the pictures as they are.
        cfg: Its config.
        test: Tests, and gives all scores by metric; on the main process at least.
        corruptions: Names from `CORRUPTIONS`.
        clean: The scores of the pictures as they are, of the metrics that are followed.
        model: What else tells the model apart: hash of its weights, fused or not.
    """

    def __init__(
        self,
        runner: Runner,
        cfg: Config,
        test: Callable[[], Mapping[str, float]],
        corruptions: Sequence[str],
        clean: Mapping[str, float],
        model: Mapping[str, Any],
    ) -> None:
        self.runner, self.test = runner, test
        self.settings = [Setting(name, strength) for name in corruptions for strength in STRENGTHS]
        self.corruptions = corruptions
        self.clean = dict(clean)
        self.file = Path(cfg.work_dir, SCORED)
        self.identity = {
            'library': library_version(),
            'model': dict(model),
            'config': _digest(cfg),
            'clean': self.clean,
        }
        self.scored = self._before()

    def measure(self) -> dict[str, Any]:
        """Test under every setting that is not scored yet; `robustness` of report.json.

        Each setting's scores are written before the next one starts.
        """
        open_settings = [s for s in self.settings if _key(s) not in self.scored]
        if len(open_settings) < len(self.settings):
            told = len(self.settings) - len(open_settings)
            self._say(f'{told} of {len(self.settings)} settings are scored already: {self.file}')
        pipelines = corrupted_pipelines(self.runner.test_dataloader.dataset)
        with _progress(self.runner, len(open_settings)) as progress, _predictions_kept(self.runner):
            for place, setting in enumerate(open_settings):
                progress.start(place, setting)
                _use(pipelines, setting)
                found = self.test()
                self.scored[_key(setting)] = {
                    name: float(found[name]) for name in self.clean if is_number(found.get(name))
                }
                self._keep()
                self._say(progress.line(self.scored[_key(setting)]))
        _use(pipelines, None)
        by_corruption = {
            name: [self.scored[_key(Setting(name, strength))] for strength in STRENGTHS]
            for name in self.corruptions
        }
        return {
            'library': library_version(),
            **summarize(self.clean, by_corruption, STRENGTHS),
        }

    def _before(self) -> dict[str, dict[str, float]]:
        """Scores of an earlier run of the same model and data; the same on every process."""
        shared: list[Any] = [{}]
        if is_main_process() and self.file.is_file():
            try:
                found = read_json(self.file, REPORT_BYTES)
                if isinstance(found, dict) and found.get('of') == self._plain(self.identity):
                    shared = [found['scored']]
            except (ValueError, KeyError):
                pass  # cut off by hand: scored again
        broadcast_object_list(shared)
        return shared[0]

    def _keep(self) -> None:
        if is_main_process():
            content = json.dumps({'of': self.identity, 'scored': self.scored}, indent=1) + '\n'
            write_files(self.file.parent, {self.file.name: content})

    def _say(self, line: str) -> None:
        if is_main_process():
            print(f'corruptions: {line}', flush=True)

    @staticmethod
    def _plain(value: Any) -> Any:
        return json.loads(json.dumps(value))


class PassProgress(Hook):
    """Lines on how far all passes are, and how long the rest will take.

    Args:
        total: Number of passes.
    """

    priority = 'VERY_LOW'

    def __init__(self, total: int) -> None:
        self.total = total
        self.began = self.last = time.perf_counter()
        self.place, self.setting = 0, Setting('', 0)

    def start(self, place: int, setting: Setting) -> None:
        """Note which pass is next, counted from 0."""
        self.place, self.setting = place, setting

    def line(self, scores: Mapping[str, float]) -> str:
        """The line that ends a pass."""
        numbers = ', '.join(f'{name} {value:.4f}' for name, value in scores.items())
        return f'{self._where()}: {numbers}{self._left(1.0)}'

    def after_test_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Tell where it is, some times a minute."""
        now = time.perf_counter()
        if now - self.last < SECONDS or not is_main_process():
            return
        self.last = now
        done, batches = batch_idx + 1, len(runner.test_dataloader)
        where = f'{self._where()}: batch {done} of {batches}{self._left(done / batches)}'
        print(f'corruptions: {where}', flush=True)

    def _where(self) -> str:
        name = self.setting.corruption.replace('_', ' ')
        return f'{self.place + 1} of {self.total}, {name} at strength {self.setting.strength}'

    def _left(self, share: float) -> str:
        done = self.place + share
        if done >= self.total:
            return ''
        seconds = (time.perf_counter() - self.began) / done * (self.total - done)
        minutes, seconds = divmod(round(seconds), 60)
        return f'; {minutes // 60}:{minutes % 60:02d}:{seconds:02d} to go'


@contextmanager
def _progress(runner: Runner, total: int) -> Iterator[PassProgress]:
    """Lines of ours on the console in place of the runner's, whose go to the log file alone."""
    hook = PassProgress(total)
    handlers = [h for h in runner.logger.handlers if not isinstance(h, logging.FileHandler)]
    levels = [handler.level for handler in handlers]
    runner.register_hook(hook)
    for handler in handlers:
        handler.setLevel(logging.WARNING)
    try:
        yield hook
    finally:
        runner.hooks.remove(hook)
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


@contextmanager
def _predictions_kept(runner: Runner) -> Iterator[None]:
    """Leave the saved predictions, which are of the pictures as they are, and tell no errors."""
    places = [
        (metric, name, getattr(metric, name))
        for metric in runner.test_evaluator.metrics
        for name in OUTPUTS
        if hasattr(metric, name)
    ]
    for metric, name, _ in places:
        setattr(metric, name, None)
    try:
        yield
    finally:
        for metric, name, place in places:
            setattr(metric, name, place)


def examples(dataset: Any, corruptions: Sequence[str]) -> np.ndarray:
    """One picture of a built dataset as it is, and under each corruption at the middle strength.

    Returns:
        (1 + corruptions, h, w, 3) uint8, RGB, small; (0, 0, 0, 3) where the dataset does not name
        its pictures.
    """
    info = dataset.get_data_info(0) if hasattr(dataset, 'get_data_info') else {}
    if not isinstance(info.get('img_path'), str):
        return np.empty((0, 0, 0, 3), np.uint8)
    image = np.ascontiguousarray(read_image(info['img_path'])[..., ::-1])
    settings = [Setting(name, EXAMPLE_STRENGTH) for name in corruptions]
    name = Path(info['img_path']).name
    return np.stack(
        [_small(image), *(_small(corrupt(image, s, seed_of(name, s))) for s in settings)]
    )


def _small(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image)
    picture.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE))
    return np.asarray(picture)


def _use(pipelines: Sequence[CorruptedPipeline], setting: Setting | None) -> None:
    for pipeline in pipelines:
        pipeline.setting = setting


def _key(setting: Setting) -> str:
    return f'{setting.corruption} {setting.strength}'


def _digest(cfg: Config) -> str:
    """Hash of what decides the scores in a config."""
    loader = {k: v for k, v in cfg.test_dataloader.items() if k not in OF_SPEED}
    parts = [cfg.model, loader, cfg.test_evaluator]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
