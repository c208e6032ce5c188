"""What the command lines share: arguments, and one readable line where a user's input is wrong.

It imports nothing of the package, so that `--help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout's fastvit_dense


def make_parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser whose help is the tool's docstring, example included."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_config_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add CONFIG, `--sample` and `--cfg-options`, which every tool that reads a config takes."""
    parser.add_argument('config', nargs=None if required else '?', help='config file')
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


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--launcher` and the rank argument that older launchers pass."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def run(main: Callable[[Sequence[str] | None], int | None]) -> None:
    """Run a tool; what is wrong with a user's input is one line and status 1, no traceback.

    That is an error of the package, or one of the system that names a file. Any other is a fault
    of the program, and keeps its traceback.
    """
    try:
        status = main(None)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        status = 130
    except Exception as error:
        from fastvit_dense.errors import FastViTDenseError

        if not isinstance(error, FastViTDenseError) and not (
            isinstance(error, OSError) and error.filename
        ):
            raise
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
        status = 1
    sys.exit(status)
