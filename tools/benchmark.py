"""Measure speed and memory, each thing beside what people use instead, in one run.

python tools/benchmark.py evaluation --out evaluation.json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from _cli import make_parser, run


def evaluation(args: argparse.Namespace) -> dict:
    from fastvit_dense.evaluation.benchmark import QUICK, Sizes, benchmark_evaluation, table

    results = benchmark_evaluation(QUICK if args.quick else Sizes())
    print(table(results))
    return results


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    parts = parser.add_subparsers(dest='part', required=True, metavar='PART')
    part = parts.add_parser(
        'evaluation', help='the metrics, against pycocotools, mmseg, mmdet and a plain loop'
    )
    part.add_argument('--out', type=Path, required=True, help='JSON file of the results')
    part.add_argument('--quick', action='store_true', help='small sizes: seconds, not minutes')
    part.set_defaults(run=evaluation)
    args = parser.parse_args(argv)

    results = args.run(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    run(main)
