"""Make a folder for a hub from a checkpoint that training wrote: weights, model card, metafile row.

fastvit-dense publish work_dirs/x/epoch_12.pth hub/x --report work_dirs/x_test/report.json

The file of weights has the config and the classes inside, no optimizer, and the first 8 digits of
its SHA-256 in its name; of folders of this machine only the last names are left. Numbers on the
card are those of the report, which must be of this very checkpoint; without a report the card says
that there are none.
"""

import argparse

from .common import Arguments


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and write the folder."""
    parser.add_argument('checkpoint', help='what training wrote')
    parser.add_argument('out', help='folder')
    parser.add_argument('--name', help="of the model (default: the config's)")
    parser.add_argument('--report', help='report.json of its evaluation')
    parser.add_argument('--ema', action='store_true', help='the averaged weights')
    args = parser.parse_args(arguments)

    from ..engine.publishing import publish

    for path in publish(args.checkpoint, args.out, args.name, args.report, ema=args.ema):
        print(path)
