"""Make the sample data: small, real pixels, nothing downloaded.

fastvit-dense sample-data data/sample
"""

import argparse

from .common import Arguments


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and make the data."""
    parser.add_argument('out', help='folder to write: coco/, ade20k/, freihand/')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='all by default')
    parser.add_argument('--force', action='store_true', help='make it again')
    args = parser.parse_args(arguments)

    from ..tasks import TASKS, find_task

    tasks = [find_task(name) for name in args.tasks or TASKS]
    for task in tasks:
        task.make_sample_data(args.out, force=args.force)
    print(f'sample data ({", ".join(task.name for task in tasks)}) in {args.out}')
