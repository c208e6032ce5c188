"""Predict a picture, or every picture of a folder; write pictures and JSON.

fastvit-dense predict maskrcnn_fastvit_sa24 CHECKPOINT photo.jpg --out-dir out
"""

import argparse

from .common import Arguments, add_checkpoint, add_config, add_fuse


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and predict."""
    add_config(parser)
    add_checkpoint(parser)
    parser.add_argument('images', metavar='IMAGE_OR_FOLDER')
    parser.add_argument('--out-dir', default='predictions', help='(default: %(default)s)')
    add_fuse(parser)
    args = parser.parse_args(arguments)

    from ..engine.prediction import predict

    predict(
        args.config,
        args.checkpoint,
        args.images,
        args.out_dir,
        sample=args.sample,
        cfg_options=args.cfg_options,
        fuse=args.fuse,
    )
