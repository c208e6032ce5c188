"""Convert weights between layouts: ours, Apple's, timm's; and MANO files to .npz.

fastvit-dense convert-weights apple/fastvit_sa24 sa24.pth --to fastvit_dense
fastvit-dense convert-weights work_dirs/x/epoch_12.pth x.pth --to fastvit_dense --publish
fastvit-dense convert-weights apple/mobilevit-small mobilevit_s.pth --to timm
fastvit-dense convert-weights MANO_RIGHT.pkl mano_right.npz --to npz

A FastViT's tensors are renamed, not changed, classifier included: there and back gives the same
tensors. A MobileViT's, of timm, Hugging Face or CVNets, become timm's, which are ours: for RGB,
where the file was made for BGR. The state of the optimizer is left out.
"""

import argparse

from .common import Arguments


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and convert."""
    parser.add_argument('source', help='checkpoint file, address, or name as in apple/fastvit_sa24')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--to', required=True, choices=('fastvit_dense', 'apple', 'timm', 'npz'))
    parser.add_argument(
        '--publish',
        action='store_true',
        help="put the first 8 digits of the file's SHA-256 into its name",
    )
    parser.add_argument('--ema', action='store_true', help='write the averaged weights')
    parser.add_argument(
        '--channel-order',
        choices=('RGB', 'BGR'),
        help="what a MobileViT's file was made for (default: what is known of its layout: BGR of "
        "the first version's files of Hugging Face and CVNets 0.1, else RGB)",
    )
    args = parser.parse_args(arguments)

    if args.to == 'npz':
        if args.publish or args.ema or args.channel_order:
            parser.error(
                f'{args.source}: --publish, --ema and --channel-order are not for MANO (--to npz): '
                'its licence forbids passing the file on, and it holds no averaged weights'
            )
        from ..hand.mano_io import read_mano, save_npz

        save_npz(read_mano(args.source), args.out)
        print(args.out)
        return

    from ..checkpoints.convert import convert_file

    written = convert_file(
        args.source,
        args.out,
        args.to,
        publish=args.publish,
        ema=args.ema,
        channel_order=args.channel_order,
    )
    print(written)
