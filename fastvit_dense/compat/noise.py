"""Lines of other libraries that tell a user nothing to act on, each silenced where it comes from.

All other lines and warnings of these libraries stay.
"""

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .imports import after_import

WARNINGS = (  # how they start
    # mmengine 0.10.7 reads package versions so
    'pkg_resources is deprecated as an API',
    # mmseg says so of every loss with its default setting
    'Default ``avg_non_ignore`` is False',
    # mmseg's hook says so wherever pictures of the validation are not asked for
    'The draw is False, it means that the hook',
    # mmengine says so in each process of several, where nobody set the variables
    'Setting OMP_NUM_THREADS environment variable',
    'Setting MKL_NUM_THREADS environment variable',
    # mmdet says so when it is imported, of a metric of its own that ours stand in for
    'faster_coco_eval is not installed',
)
# start of a line of mmengine's log: its own checkpoint hook uses what it calls deprecated; mmseg
# says so of pictures of several sizes, which the network sees in one
LOG_LINES = (
    '"FileClient" will be deprecated in future',
    '"HardDiskBackend" is the alias of "LocalBackend"',
    'Image shapes are different in the batch',
)


def install() -> None:
    """Silence the lines above; cheap, idempotent, imports nothing.

    - `print_log(text, level=DEBUG)` prints whatever the level: "Could not import OneDL ..." of
      mmdet and mmseg. It prints from INFO on.
    - mmdet's reader of COCO files prints "loading annotations into memory ...".
    """
    for text in WARNINGS:
        warnings.filterwarnings('ignore', text)
    after_import('mmengine.logging', _print_from_info_on)
    after_import('mmengine.fileio.file_client', _leave_out_lines)
    after_import('mmseg.models.segmentors.encoder_decoder', _leave_out_lines)
    after_import('mmdet.datasets.api_wrappers.coco_api', _read_without_printing)


def _print_from_info_on(module: ModuleType) -> None:
    _quieten(module, 'print_log', _not_below_info)


def _leave_out_lines(module: ModuleType) -> None:
    _quieten(module, 'print_log', _not_these_lines)


def _read_without_printing(module: ModuleType) -> None:
    _quieten(module.COCO, '__init__', _no_prints)


def _quieten(holder: Any, name: str, quieter: Callable[[Callable], Callable]) -> None:
    """Replace a function of a module or class by a quieter one, once."""
    function = getattr(holder, name)
    done = getattr(function, 'quietened', ())
    if quieter not in done:
        quiet = functools.wraps(function)(quieter(function))
        quiet.quietened = (*done, quieter)  # type: ignore[attr-defined]
        setattr(holder, name, quiet)


def _not_below_info(print_log: Callable) -> Callable:
    def quiet(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
        if logger is not None or level >= logging.INFO:
            print_log(msg, logger, level)

    return quiet


def _not_these_lines(print_log: Callable) -> Callable:
    def quiet(msg: Any, *args: Any, **kwargs: Any) -> None:
        if not str(msg).startswith(LOG_LINES):
            print_log(msg, *args, **kwargs)

    return quiet


def _no_prints(function: Callable) -> Callable:
    def quiet(*args: Any, **kwargs: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*args, **kwargs)

    return quiet
