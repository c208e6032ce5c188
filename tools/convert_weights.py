"""Convert weights between layouts: ours, Apple's, timm's; and MANO files to .npz.

    python tools/convert_weights.py apple/fastvit_sa24 sa24.pth --to fastvit_dense
    python tools/convert_weights.py work_dirs/x/epoch_12.pth x.pth --to fastvit_dense --publish
    python tools/convert_weights.py MANO_RIGHT.pkl mano_right.npz --to npz

Tensors are renamed, not changed, classifier included: there and back gives the same tensors. The
state of the optimizer is left out.
"""

from collections.abc import Sequence

from _cli import make_parser, run


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('source', help='checkpoint file, address, or name as in apple/fastvit_sa24')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--to', required=True, choices=('fastvit_dense', 'apple', 'timm', 'npz'))
    parser.add_argument(
        '--publish',
        action='store_true',
        help="put the first 8 digits of the file's SHA-256 into its name",
    )
    parser.add_argument('--ema', action='store_true', help='write the averaged weights')
    args = parser.parse_args(argv)

    if args.to == 'npz':
        if args.publish or args.ema:
            parser.error(
                f'{args.source}: --publish and --ema are not for MANO (--to npz): its licence forbids passing the '
                'file on, and it holds no averaged weights'
            )
        from fastvit_dense.hand.mano_io import read_mano, save_npz

        save_npz(read_mano(args.source), args.out)
        print(args.out)
        return

    from fastvit_dense.checkpoints.convert import convert_file

    print(convert_file(args.source, args.out, args.to, publish=args.publish, ema=args.ema))


if __name__ == '__main__':
    run(main)
