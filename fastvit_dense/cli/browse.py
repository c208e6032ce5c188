"""Write a page of training samples as training sees them: augmented, with boxes, masks, joints.

fastvit-dense browse FOLDER                                      # your own pictures
fastvit-dense browse finetune/maskrcnn_fastvit_sa12 --data FOLDER --out page.html
fastvit-dense browse handmesh_fastvit_t8 --sample --count 12

The page is one file, and asks for nothing from elsewhere.
"""

import argparse

from .common import Arguments, add_config, add_data


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and write the page."""
    parser.usage = '%(prog)s CONFIG|FOLDER [options]'
    add_config(parser)
    add_data(parser)
    parser.add_argument('--out', default='browse.html', help='(default: %(default)s)')
    parser.add_argument(
        '--count', type=int, default=24, metavar='N', help='samples (default: %(default)s)'
    )
    parser.add_argument('--seed', type=int, help="of the augmentation (default: the config's)")
    args = parser.parse_args(arguments)

    from ..engine.browsing import browse

    browse(
        args.config,
        args.out,
        sample=args.sample,
        data=args.data,
        cfg_options=args.cfg_options,
        count=args.count,
        seed=args.seed,
    )
