"""A folder to make sample data in, beside where it goes; those of killed runs are cleared."""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """A new folder in `root`, which is made where absent; gone with its content in the end.

    Its name tells the machine and the process, for `remove_stale`.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f'.making-{_machine()}-{os.getpid()}-', dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale(root: Path) -> None:
    """Remove the workspaces in `root` whose process, of this machine, was killed."""
    for folder in root.glob('.making-*'):
        if _is_stale(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _machine() -> str:
    return re.sub(r'[^\w.]', '_', socket.gethostname())[:60]


def _is_stale(name: str) -> bool:
    parts = name.split('-')
    if len(parts) != 4 or parts[1] != _machine() or not parts[2].isdecimal():
        return False  # of another machine, or not named here
    return not _is_alive(int(parts[2]))


def _is_alive(pid: int) -> bool:
    if os.name != 'posix':
        return True  # there, signal 0 ends a process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user; no process number
        return True
    return True
