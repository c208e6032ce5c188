"""A process that hangs ends itself: the launcher of another machine may not see that it must."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook

GRACE = 30  # seconds beyond the time limit, in which processes that wait for others tell of it


class Watch(Hook):
    """End this process when it has not finished a step, or begun a part, for too long.

    The others, which wait for it, end by the time limit themselves; those that started them end
    the rest of their own machine only.

    Args:
        timeout: Seconds that processes wait for each other, `env_cfg.dist_cfg.timeout`.
    """

    def __init__(self, timeout: float, grace: float = GRACE) -> None:
        self.timeout, self.limit = timeout, timeout + grace
        self.last = time.monotonic()
        self.ended = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch for the length of a block, where there are other processes."""
        if get_world_size() == 1:
            yield
            return
        self.last = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield
        finally:
            self.ended.set()

    def _watch(self) -> None:
        while not self.ended.wait(min(1.0, self.limit)):
            if time.monotonic() - self.last > self.limit:
                text = (
                    f'ProcessError: process {get_rank()} of {get_world_size()}: no step ended '
                    f'within {self.timeout} s (env_cfg.dist_cfg.timeout): it hangs, and ends; '
                    '--resume auto continues from the last checkpoint\n'
                )
                os.write(2, text.encode())
                os._exit(1)

    def _note(self, *_: Any, **__: Any) -> None:
        self.last = time.monotonic()

    before_train = after_train = before_val = after_val = _note
    before_save_checkpoint = _note
    _before_epoch = _after_epoch = _before_iter = _after_iter = _note
