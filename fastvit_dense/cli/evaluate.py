"""Score saved predictions, or compare reports.

fastvit-dense evaluate maskrcnn_fastvit_sa24 --predictions instances.json
fastvit-dense evaluate --compare A/report.json B/report.json
"""

import argparse

from .common import Arguments, add_config


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and score predictions, or compare reports."""
    add_config(parser, required=False)
    parser.add_argument(
        '--predictions',
        metavar='PATH',
        help='COCO result file, folder of label PNGs, FreiHAND pred.json/.zip, or what predict '
        'wrote: its folder, or predictions.jsonl',
    )
    parser.add_argument('--work-dir', help='where the report goes (work_dirs/CONFIG)')
    parser.add_argument('--compare', nargs='+', metavar='REPORT', help='report.json files')
    args = parser.parse_args(arguments)
    if args.compare:
        if args.config or args.predictions:
            parser.error('--compare takes report files only')
        from ..evaluation.report.compare import compare_reports

        compare_reports(args.compare, args.work_dir or '.')
        return
    if not args.config or not args.predictions:
        parser.error('needs CONFIG and --predictions PATH, or --compare REPORT ...')

    from ..engine.scoring import score_predictions

    score_predictions(
        args.config,
        args.predictions,
        sample=args.sample,
        cfg_options=args.cfg_options,
        work_dir=args.work_dir,
    )
