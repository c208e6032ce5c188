"""Disks that are small or closed, and processes that die."""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from mmengine.logging import MMLogger


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of a size, such as '1m', at a folder; skips where one may not."""
    folder.mkdir()
    if _mount('-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', folder):
        pytest.skip('mounting a disk needs root')
    try:
        yield folder
    finally:
        _close_logs(folder)
        subprocess.run(['umount', '-l', folder], check=True)


def _close_logs(folder: Path) -> None:
    """Close what a run logs to there; its logger stays the current one, for the tests after it."""
    for logger in MMLogger._instance_dict.values():
        for handler in list(logger.handlers):
            file = getattr(handler, 'baseFilename', None)
            if file and Path(file).is_relative_to(folder):
                logger.removeHandler(handler)
                with suppress(OSError):  # what it holds back does not fit
                    handler.close()


def change_disk(folder: Path, options: str) -> None:
    """Give the disk at a folder other options, such as 'ro' or 'size=2m'."""
    assert not _mount('-o', f'remount,{options}', folder)


def _mount(*arguments: object) -> int:
    return subprocess.run(['mount', *map(str, arguments)], capture_output=True).returncode


def in_a_process(function: Callable[[], object]) -> int:
    """Call a function in a fork of this process; return how it ended, -9 for a SIGKILL."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_me() -> None:
    """End this process as the kernel does where memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)
