"""Tell what is wrong with the data of a config: files, annotations, classes, images, masks.

fastvit-dense check-data maskrcnn_fastvit_sa24
fastvit-dense check-data semfpn_fastvit_sa24 --sample

Exit status 1 where there are errors.
"""

import argparse
import json

from .common import Arguments, add_config, add_data


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> int:
    """Read the arguments and check; return the exit status."""
    add_config(parser)
    add_data(parser)
    parser.add_argument(
        '--quick', action='store_true', help='annotations, file names and a look at some files only'
    )
    parser.add_argument(
        '--json', action='store_true', help='print counts and findings as one JSON object'
    )
    args = parser.parse_args(arguments)

    from ..datasets.check.datasets import check_config
    from ..tasks.config import load_config

    cfg = load_config(
        args.config,
        sample=args.sample,
        data=args.data,
        cfg_options=args.cfg_options,
        pretrained=False,
    )
    report = check_config(cfg, read_files=not args.quick, progress=True)
    print(json.dumps(report.to_dict(), indent=1) if args.json else report)
    return int(bool(report.errors))
