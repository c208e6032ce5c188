"""Tell what is wrong with the data of a config: files, annotations, classes, images, masks.

    python tools/check_data.py configs/maskrcnn_fastvit_sa24.py
    python tools/check_data.py configs/semfpn_fastvit_sa24.py --sample

Exit status 1 where there are errors.
"""

from collections.abc import Sequence

from _cli import add_config_arguments, make_parser, run


def main(argv: Sequence[str] | None) -> int:
    parser = make_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument(
        '--quick', action='store_true', help='annotations and file names only, no image is read'
    )
    args = parser.parse_args(argv)

    from fastvit_dense.datasets.check.datasets import check_config
    from fastvit_dense.tasks.config import load_config

    cfg = load_config(
        args.config, sample=args.sample, cfg_options=args.cfg_options, pretrained=False
    )
    report = check_config(cfg, read_files=not args.quick, progress=True)
    print(report)
    return int(bool(report.errors))


if __name__ == '__main__':
    run(main)
