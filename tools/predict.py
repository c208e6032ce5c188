"""Predict a picture, or every picture of a folder; write pictures and JSON.

python tools/predict.py configs/maskrcnn_fastvit_sa24.py CHECKPOINT photo.jpg --out-dir out
"""

from collections.abc import Sequence

from _cli import add_config_arguments, make_parser, run


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint, or a file of tools/export.py')
    parser.add_argument('images', metavar='IMAGE_OR_FOLDER')
    parser.add_argument('--out-dir', default='predictions', help='(default: %(default)s)')
    parser.add_argument('--fuse', action='store_true', help='reparameterize the model first')
    args = parser.parse_args(argv)

    from fastvit_dense.engine.prediction import predict

    predict(
        args.config,
        args.checkpoint,
        args.images,
        args.out_dir,
        sample=args.sample,
        cfg_options=args.cfg_options,
        fuse=args.fuse,
    )


if __name__ == '__main__':
    run(main)
