"""Make the sample data: small, real pixels, nothing downloaded.

fastvit-dense sample-data data/sample
"""

import argparse

from ..errors import ConfigError
from .common import Arguments


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and make the data."""
    parser.add_argument('out', help='folder to write: coco/, ade20k/, freihand/')
    parser.add_argument(
        '--tasks', nargs='+', metavar='TASK', help='of instance, semantic, hand (default: all)'
    )
    parser.add_argument('--force', action='store_true', help='make it again')
    args = parser.parse_args(arguments)

    from ..datasets.sample.scene_files import TREES, make_sample_data

    known = (*TREES, 'hand')
    tasks = args.tasks or known
    if unknown := [task for task in tasks if task not in known]:
        raise ConfigError(f'--tasks: no task {unknown[0]!r}, known are {", ".join(known)}')
    make_sample_data(args.out, args.force, [task for task in tasks if task in TREES])
    if 'hand' in tasks:
        from ..datasets.sample.hands import make_sample_hands

        make_sample_hands(args.out, force=args.force)
    print(f'sample data ({", ".join(tasks)}) in {args.out}')
