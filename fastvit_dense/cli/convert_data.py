"""Convert annotated pictures of any known format to COCO or to class masks.

fastvit-dense convert-data roboflow_export/ parts/
fastvit-dense convert-data roboflow_export/ parts_masks/ --to masks

Pictures are copied; what was understood and what is wrong is printed. docs/own_data.md tells what
becomes of holes, several polygons, difficult objects. Exit status 1 where the check finds errors.
"""

import argparse

from .common import Arguments


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> int:
    """Read the arguments and convert; return the exit status."""
    parser.add_argument('source', metavar='SRC', help='folder of annotated pictures')
    parser.add_argument('out', metavar='OUT', help='folder to make')
    parser.add_argument(
        '--to',
        choices=('coco', 'masks'),
        help='COCO where the folder has objects, masks where it has masks alone (default)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the split, where the folder has none (default: 0)'
    )
    args = parser.parse_args(arguments)

    from ..datasets.conversion import convert_data
    from ..datasets.own_data import describe

    found, report = convert_data(args.source, args.out, args.to, args.seed)
    print(f'{describe(found)}\n\n{report}\n\n{args.out}')
    return int(bool(report.errors))
