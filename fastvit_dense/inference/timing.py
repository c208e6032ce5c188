"""The time of every part of a prediction, from a picture's file to a result."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch

from .predictor import Predictor

PARTS = ('decode', 'resize', 'normalise', 'network', 'post-processing', 'other')
# Methods of models that turn outputs into a data sample: paste, threshold, encode; resize, label.
POST_PROCESSING = ('roi_head.mask_head.predict_by_feat', 'postprocess_result')


class PartClock:
    """Add up the time of parts of a call; what a part does inside another is not the other's.

    Args:
        device: Waited for at the ends of every part.
        clock: Seconds.
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self.device = device
        self.clock = clock
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside for this part."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def _switch(self) -> None:
        if torch.device(self.device).type == 'cuda':
            torch.cuda.synchronize(self.device)
        now = self.clock()
        if self._running:
            name = self._running[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        """Count every call of `owner.attribute` ('a.b.method' too) for a part."""
        path, _, attribute = attribute.rpartition('.')
        owner = attrgetter(path)(owner) if path else owner
        inner = getattr(owner, attribute)

        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return inner(*args, **kwargs)

        setattr(owner, attribute, watched)


class TimedPredictor:
    """A predictor that is called with a picture and keeps the seconds of every part of the call.

    Args:
        predictor: It is changed: its parts are watched from now on.
        device: Of its network.

    Attributes:
        seconds: Of the parts of the last call, by the names in `PARTS`.
        input: Height and width of what the network saw last.
    """

    def __init__(self, predictor: Predictor, device: str) -> None:
        self.predictor = predictor
        self.clock = PartClock(device)
        self.seconds: dict[str, float] = {}
        self.input: tuple[int, int] | None = None
        self._watch_all()

    def _watch_all(self) -> None:
        watch, predictor = self.clock.watch, self.predictor
        transform = predictor.reader.transform

        def resize(results: dict) -> dict:
            with self.clock.part('resize'):
                found: Any = transform(results)
            self.input = tuple(found['inputs'].shape[1:])
            return found

        predictor.reader.transform = resize
        watch(predictor.reader, 'load', 'decode')
        watch(predictor, 'to_result', 'post-processing')
        model = predictor.model
        watch(model, 'data_preprocessor.forward', 'normalise')
        if hasattr(getattr(model, 'network', None), 'run'):  # a file; around it is post-processing
            watch(model.network, 'run', 'network')
            watch(model, 'test_step', 'post-processing')
        else:
            watch(model, 'test_step', 'network')
            for method in POST_PROCESSING:
                if _has(model, method):
                    watch(model, method, 'post-processing')

    def __call__(self, picture: str | os.PathLike) -> Any:
        """Return the predictor's result.

        Raises:
            ImageError: The picture cannot be read.
        """
        self.clock.seconds = dict.fromkeys(PARTS, 0.0)
        with self.clock.part('other'):
            result = self.predictor(picture)
        self.seconds = self.clock.seconds
        return result


def _has(owner: Any, path: str) -> bool:
    try:
        attrgetter(path)(owner)
    except AttributeError:
        return False
    return True
