"""Parts shared by the command lines: arguments, and one line where a user's input is wrong."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ..compat.environment import explain
from ..errors import FastViTDenseError, Stopped

Arguments = Sequence[str] | None


def run(command: Callable[[Arguments], int | None], arguments: Arguments = None) -> None:
    """Call a function with arguments and exit with the status that it returns.

    An error of this package, one that names a file, and an environment that lacks something end
    in one line and status 1; training that a signal stopped ends with status 75; output that nobody
    reads to its end, as behind `| head`, ends it in silence; everything else is shown with its
    traceback.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    try:
        status = command(arguments)
        sys.stdout.flush()
    except Stopped as stop:  # the log has told why
        status = stop.status
    except (KeyboardInterrupt, Exception) as error:
        status = _tell(error)
    sys.exit(status)


def _tell(error: BaseException) -> int:
    """Say in one line what ended a command; raise what has no such line again.

    Returns:
        The status to exit with.
    """
    if _is_ctrl_c(error):
        print('interrupted', file=sys.stderr)
        return 130
    if isinstance(error, BrokenPipeError) and _output_is_closed():
        return 141  # as of a program that SIGPIPE ended
    reason = _reason(error)
    if reason is None:
        raise error
    print(f'{type(error).__name__}: {reason}', file=sys.stderr)
    return 1


def _is_ctrl_c(error: BaseException | None) -> bool:
    """Tell whether it is Ctrl-C, or the SyntaxError that mmengine's `Config` makes of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or (error.__context__ if isinstance(error, SyntaxError) else None)
    return error is not None


def _output_is_closed() -> bool:
    """Tell whether nobody reads the standard output any more; what is left of it is dropped."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


class Parser(argparse.ArgumentParser):
    """A parser that lets options stand between words of which some may be left out."""

    _mixed = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; argparse's own method for this calls this one again, and takes no subparsers."""
        if self._mixed or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._mixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixed = False


def make_parser(doc: str, called: str | None = None) -> argparse.ArgumentParser:
    """Return a parser whose help is a docstring, examples included."""
    return Parser(
        prog=called, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_config(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add CONFIG, `--sample` and `--cfg-options`, which every command that reads a config takes."""
    parser.add_argument(
        'config',
        nargs=None if required else '?',
        help='config file, the name of a config that comes with the package, or a checkpoint that '
        'training wrote, which carries its config',
    )
    parser.add_argument(
        '--sample',
        action='store_true',
        help='use the embedded sample data and a short schedule (made on first use in data/sample)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config, applied after --sample: '
        'train_cfg.max_epochs=6 model.neck.in_channels=[48,96,192,384]; '
        'optim_wrapper.optimizer._delete_=True empties that dict first, but for its type',
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data`."""
    parser.add_argument(
        '--data',
        metavar='FOLDER',
        help="annotated pictures to use instead of the config's data: COCO, YOLO, Pascal VOC, "
        'labelme, VIA, or pictures and masks (docs/own_data.md)',
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add `--launcher` and the rank argument that older launchers pass."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add CHECKPOINT, which may be an exported file; after a checkpoint it may be left out."""
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint, or a file that `export` wrote; none after one, nor after a config whose '
        'published weights are meant (`fastvit-dense models`)',
    )


def add_fuse(parser: argparse.ArgumentParser) -> None:
    """Add `--fuse`."""
    parser.add_argument('--fuse', action='store_true', help='reparameterize the model first')


def add_tiles(parser: argparse.ArgumentParser) -> None:
    """Add `--tiles` and `--overlap`."""
    parser.add_argument(
        '--tiles', type=int, metavar='SIZE', help='predict in tiles of so many pixels a side'
    )
    parser.add_argument(
        '--overlap',
        type=float,
        default=0.25,
        metavar='F',
        help='share of a tile that it has in common with the next (default: %(default)s)',
    )


def count(text: str) -> int:
    """Read a whole number above 0: the `type` of an argument."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f'expected a whole number above 0, found {text!r}')
    return int(text)


def share(text: str) -> float:
    """Read a number from 0 to 1: the `type` of an argument."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 1, found {text!r}')
    return value


def _reason(error: BaseException) -> str | None:
    """The message of an error that says all there is to say, else None."""
    if isinstance(error, FastViTDenseError) or (isinstance(error, OSError) and error.filename):
        return str(error)
    return explain(error) if isinstance(error, ImportError) else None
