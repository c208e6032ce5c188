"""Make the sample data: small, real pixels, nothing downloaded.

python tools/sample_data.py data/sample
"""

from collections.abc import Sequence

from _cli import make_parser, run

TASKS = ('instance', 'semantic', 'hand')


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('out', help='folder to write: coco/, ade20k/, freihand/')
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=TASKS, help='all by default')
    parser.add_argument('--force', action='store_true', help='make it again')
    args = parser.parse_args(argv)

    from fastvit_dense.datasets.sample.scene_files import TREES, make_sample_data

    make_sample_data(args.out, args.force, [task for task in args.tasks if task in TREES])
    if 'hand' in args.tasks:
        from fastvit_dense.datasets.sample.hands import make_sample_hands

        make_sample_hands(args.out, force=args.force)
    print(f'sample data ({", ".join(args.tasks)}) in {args.out}')


if __name__ == '__main__':
    run(main)
